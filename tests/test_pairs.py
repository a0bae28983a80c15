"""Splits and pairs: sizes, ratios, no image paired with itself, disjoint splits, the same draw for the same seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prunecurve.errors import StudyError
from prunecurve.pairs import draw_splits, make_pairs
from prunecurve.seeding import stream

labellings = st.tuples(st.integers(2, 6), st.integers(4, 9), st.integers(0, 2**31)).map(
    lambda t: np.random.default_rng(t[2]).permutation(np.repeat(np.arange(t[0]) * 3, t[1]))
)


@given(labels=labellings, same=st.integers(1, 3), different=st.integers(1, 4), seed=st.integers(0, 1000))
def test_pairs_are_what_they_say(labels, same, different, seed):
    pairs = make_pairs(labels, same, different, stream(seed, "pairs/test"))
    assert pairs.dtype == np.int32
    assert pairs.shape == (len(labels) * (same + different), 3)
    first, second, label = pairs.T
    assert (first != second).all()
    assert np.array_equal(label, labels[first] == labels[second])
    assert (np.bincount(first, minlength=len(labels)) == same + different).all()
    assert (np.bincount(first, weights=label, minlength=len(labels)) == same).all()
    assert len({(a, b) for a, b, _ in pairs.tolist()}) == len(pairs)


def test_pairs_depend_on_the_seed_alone():
    labels = np.repeat(np.arange(4), 10)
    one, again, other = (make_pairs(labels, 1, 9, stream(seed, "pairs/train")) for seed in (5, 5, 6))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_partners_are_drawn_uniformly():
    labels = np.array([0, 0, 0, 0, 1, 1])
    rng = stream(0, "pairs/test")
    partners = np.concatenate([make_pairs(labels, 1, 1, rng)[2:3, 1] for _ in range(3000)])
    counts = np.bincount(partners, minlength=6)
    # The partners of image 1 are images 0, 2 and 3, each about 1,000 times (standard deviation 26).
    assert counts[1] == 0 and counts[4] == 0
    assert abs(counts[[0, 2, 3]] - 1000).max() < 130


@pytest.mark.parametrize("own_test", [False, True])
def test_no_image_is_in_two_splits(own_test):
    held_out = np.arange(100) >= (70 if own_test else 100)
    sizes = {"train": 40, "val": 20, "test": 25}
    splits = draw_splits(held_out, sizes, stream(3, "images"), dataset="digits")
    assert {name: len(index) for name, index in splits.items()} == sizes
    everything = np.concatenate(list(splits.values()))
    assert len(set(everything.tolist())) == 85
    if own_test:
        assert held_out[splits["test"]].all()
        assert not held_out[np.concatenate([splits["train"], splits["val"]])].any()


def test_too_many_images_name_the_key():
    with pytest.raises(StudyError, match=r"images\.digits: train \+ val \+ test ask for 120 .* has 100; lower"):
        draw_splits(np.zeros(100, bool), {"train": 50, "val": 50, "test": 20}, stream(0, "images"), dataset="digits")
    with pytest.raises(StudyError, match=r"images\.mnist: test ask for 31 .* 30 test images; lower test"):
        draw_splits(np.arange(100) >= 70, {"train": 5, "val": 5, "test": 31}, stream(0, "images"), dataset="mnist")


def test_too_small_a_class_names_the_keys():
    with pytest.raises(StudyError, match=r"pairs_per_image\.same: 2 .* images\.digits\.val include only 2 of class 7"):
        make_pairs(np.array([1, 1, 1, 7, 7]), 2, 1, stream(0, "x"), key="images.digits.val")
    with pytest.raises(StudyError, match=r"pairs_per_image\.different: 3 .* include only 2 that are not of class 1"):
        make_pairs(np.array([1, 1, 1, 7, 7]), 1, 3, stream(0, "x"), key="images.digits.val")


def test_streams_are_independent_and_named():
    draws = [stream(seed, name).random(4).tolist() for seed in (0, 1) for name in ("images", "batches", "pairs/val")]
    assert len({tuple(draw) for draw in draws}) == 6
    assert stream(0, "images").random(4).tolist() == draws[0]
