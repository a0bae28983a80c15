"""Splits and pairs: sizes, ratios, no image paired with itself, disjoint splits, the same draw for the same seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prunecurve.errors import StudyError
from prunecurve.data.datasets import asked_sizes, check_data
from prunecurve.data.splits import SPLITS, draw_splits, split_sizes
from prunecurve.data.tasks.pairs.inputs import inputs, require
from prunecurve.seeding import stream

labellings = st.tuples(st.integers(2, 6), st.integers(4, 9), st.integers(0, 2**31)).map(
    lambda t: np.random.default_rng(t[2]).permutation(np.repeat(np.arange(t[0]) * 3, t[1]))
)


@given(labels=labellings, same=st.integers(1, 3), different=st.integers(1, 4), seed=st.integers(0, 1000))
def test_pairs_are_what_they_say(labels, same, different, seed):
    pairs, label = inputs(labels, stream(seed, "pairs/test"), same, different)
    assert (pairs.dtype, label.dtype) == (np.int32, np.int64)
    assert pairs.shape == (len(labels) * (same + different), 2) and label.shape == (len(pairs),)
    first, second = pairs.T
    assert (first != second).all()
    assert np.array_equal(label, labels[first] == labels[second])
    assert (np.bincount(first, minlength=len(labels)) == same + different).all()
    assert (np.bincount(first, weights=label, minlength=len(labels)) == same).all()
    assert len({(a, b) for a, b in pairs.tolist()}) == len(pairs)


def test_pairs_depend_on_the_seed_alone():
    labels = np.repeat(np.arange(4), 10)
    one, again, other = (inputs(labels, stream(seed, "pairs/train"), 1, 9)[0] for seed in (5, 5, 6))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_partners_are_drawn_uniformly():
    labels = np.array([0, 0, 0, 0, 1, 1])
    rng = stream(0, "pairs/test")
    partners = np.concatenate([inputs(labels, rng, 1, 1)[0][2:3, 1] for _ in range(3000)])
    counts = np.bincount(partners, minlength=6)
    # The partners of image 1 are images 0, 2 and 3, each about 1,000 times (standard deviation 26).
    assert counts[1] == 0 and counts[4] == 0
    assert abs(counts[[0, 2, 3]] - 1000).max() < 130


@pytest.mark.parametrize("own_test", [False, True])
def test_no_image_is_in_two_splits(own_test):
    splits_of_data = np.where(np.arange(100) >= (70 if own_test else 100), 2, 0)
    sizes = {"train": 40, "val": 20, "test": 25}
    splits = draw_splits(splits_of_data, sizes, 3, dataset="digits")
    assert {name: len(index) for name, index in splits.items()} == sizes
    everything = np.concatenate(list(splits.values()))
    assert len(set(everything.tolist())) == 85
    if own_test:
        assert (splits_of_data[splits["test"]] == 2).all()
        assert not splits_of_data[np.concatenate([splits["train"], splits["val"]])].any()


def test_a_split_of_the_data_set_is_drawn_from_it():
    splits_of_data = np.repeat([0, 1, 2], [50, 20, 30])
    splits = draw_splits(splits_of_data, {"train": 40, "val": 20, "test": 25}, 3, dataset="x")
    assert [set(splits_of_data[splits[name]]) for name in SPLITS] == [{0}, {1}, {2}]
    without_test = draw_splits(splits_of_data[:70], {"train": 30, "val": 20, "test": 20}, 3, dataset="x")
    assert not set(without_test["train"]) & set(without_test["test"]) and without_test["test"].max() < 50


AUTO = dict.fromkeys(SPLITS, "auto")


@pytest.mark.parametrize(
    ("counts", "asked", "sizes"),
    [
        ((180, 0, 0), AUTO, (108, 36, 36)),
        ((35, 0, 0), AUTO, (21, 7, 7)),
        ((100, 0, 40), AUTO, (75, 25, 40)),
        ((100, 30, 40), AUTO, (100, 30, 40)),
        ((100, 30, 0), AUTO, (75, 30, 25)),
        ((100, 0, 40), AUTO | {"train": 0.1, "test": 30}, (10, 25, 30)),
        ((1000, 0, 0), {"train": 0.29, "val": 200, "test": 0.57}, (290, 200, 570)),
    ],
)
def test_sizes_are_numbers_shares_or_auto(counts, asked, sizes):
    assert split_sizes(asked, dict(zip(SPLITS, counts))) == dict(zip(SPLITS, sizes))


def test_auto_stands_for_the_sizes_that_a_data_set_declares():
    def sizes(dataset, **images):
        return asked_sizes({"dataset": dataset, "images": AUTO | images})

    assert sizes("digits", val=0.5) == {"train": 1000, "val": 0.5, "test": 300}
    assert sizes("kmnist") == sizes("cifar100") == {"train": 6000, "val": 1000, "test": 1000}
    assert sizes("image_folder") == sizes("arrays") == AUTO


def test_disjoint_draws_share_no_image_and_do_not_change_with_more_seeds():
    splits_of_data, sizes = np.repeat([0, 2], [100, 40]), {"train": 15, "val": 5, "test": 8}
    seeds = [7, 3, 4, 0, 9]
    drawn = [draw_splits(splits_of_data, sizes, seed, i, dataset="x") for i, seed in enumerate(seeds)]
    everything = np.concatenate([index for draw in drawn for index in draw.values()])
    assert len(everything) == len(set(everything.tolist())) == 140
    again = draw_splits(splits_of_data, sizes, 3, 1, dataset="x")
    assert all(np.array_equal(again[split], drawn[1][split]) for split in SPLITS)
    with pytest.raises(StudyError, match=r"^images\.disjoint: 6 networks × \(train 15 \+ val 5\) = 120 images, but"):
        draw_splits(splits_of_data, sizes, 1, 5, dataset="x")


def test_shared_images_are_counted():
    from prunecurve.statistics.shared_images import shared_images

    drawn = {3: {0: [1, 2, 3, 4], 1: [5], 2: [6, 7]}, 8: {0: [3, 4, 6, 7], 1: [1], 2: [2, 8]}}
    index = {
        seed: np.array([(split, image) for split, images in splits.items() for image in images], np.int32)
        for seed, splits in drawn.items()
    }
    rows = shared_images(index, "digits")
    found = {
        (r["seed"], r["other"], r["split"], r["other_split"]): (r["images"], r["shared"], r["share"]) for r in rows
    }
    assert len(rows) == len(found) == 8
    assert found[3, 8, "train", "train"] == found[8, 3, "train", "train"] == (4, 2, 0.5)
    assert found[3, 8, "test", "train"] == (2, 2, 1.0)
    assert found[8, 3, "test", "train"] == (2, 1, 0.5)
    assert found[3, 8, "test", "test"] == (2, 0, 0.0)


def test_the_number_of_images_is_checked_before_any_job(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for i in range(90):
            (tmp_path / "mine" / name / f"{i}.png").touch()

    def config_of(dataset, sizes, disjoint=False):
        images = {**dict(zip(SPLITS, sizes)), "disjoint": disjoint}
        return {"dataset": dataset, "seeds": [0, 1], "images": images, "preprocess": {}, "image_channels": "auto"}

    check_data(config_of("image_folder", ("auto",) * 3), tmp_path / "mine")
    check_data(config_of("digits", (1000, 297, 300)), "")
    for config, message in [
        (
            config_of("image_folder", (600, 200, 200)),
            r"images: train 600 \+ val 200 \+ test 200 = 1000 images, but image_folder has 180 for train \+ val "
            r"\+ test; lower images\.train or images\.val or images\.test$",
        ),
        (
            config_of("image_folder", ("auto",) * 3, disjoint=True),
            r"images\.disjoint: 2 networks × \(train 108 \+ val 36 \+ test 36\) = 360 .*, use fewer seeds, or set",
        ),
        (
            config_of("mnist", (6000, 1000, 10001)),
            "images: test 10001 = 10001 images, but mnist has 10000 for test",
        ),
        (config_of("mnist", (60000, 1, 10000)), r"train 60000 \+ val 1 = 60001 images, but mnist has 60000 for train"),
    ]:
        with pytest.raises(StudyError, match=message):
            check_data(config, tmp_path / "mine")


def test_the_job_reports_a_class_without_partners(tmp_path):
    """A class with one image: get_images reads it, make_pairs names it before it writes anything."""
    import make_pairs as script
    from prunecurve.arrays import save_array
    from prunecurve.tables import write_rows

    labels = np.repeat([0, 1, 2], [90, 90, 1])
    arrays = {"images": np.zeros((181, 1, 2, 2), np.uint8), "labels": labels, "splits": np.zeros(181, np.int8)}
    for name, array in arrays.items():
        save_array(tmp_path / f"{name}.npy", array)
    rows = [{"class": i, "name": name} for i, name in enumerate(["cat", "dog", "a rare bird"])]
    write_rows(tmp_path / "classes.csv", rows)
    words = ["--source", *(str(tmp_path / f"{name}.npy") for name in arrays), str(tmp_path / "classes.csv")]
    words += ["--dataset", "image_folder", "--folder", str(tmp_path / "out"), "--seed", "0"]
    arguments = script.options().parse_args([*words, "--task", "pairs", "same=1", "different=2"])
    with pytest.raises(StudyError) as error:
        script.work(arguments)
    assert "same: it needs 2 images of class a rare bird, but the 108 images of images.train" in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("classes", "same", "different", "message"),
    [
        (
            [0, 0, 0, 1, 1],
            2,
            1,
            r"same: it needs 3 images of class dog, but the 5 images of images\.val include only 2; ",
        ),
        ([0, 0, 0, 1, 1], 1, 3, r"different: it needs 3 images that are not of class cat, .* only 2; lower"),
        ([], 1, 1, r"^images\.val: the split has no images, because the data set has too few$"),
    ],
)
def test_too_small_a_class_names_the_keys(classes, same, different, message):
    with pytest.raises(StudyError, match=message):
        require("val", np.array(classes, int), ["cat", "dog"], same, different)


def test_streams_are_independent_and_named():
    draws = [stream(seed, name).random(4).tolist() for seed in (0, 1) for name in ("images", "batches", "pairs/val")]
    assert len({tuple(draw) for draw in draws}) == 6
    assert stream(0, "images").random(4).tolist() == draws[0]
