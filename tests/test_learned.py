"""A network that gives a constant answer is no subject of a study: it is recognised, stopped, and warned about."""

import argparse
import json
import re

import numpy as np
import pytest
import torch
import train as script
from prunecurve.data.batches import Split
from prunecurve.errors import StudyError
from prunecurve.arrays import save_array
from prunecurve.tables import write_rows
from prunecurve.statistics.histories import warning_of
from prunecurve.training.learned import kept_epoch, shortfall, validation_columns
from prunecurve.model.network_file import prepare_torch
from prunecurve.training.training import class_weights
from test_training import CPU, RECIPE, bars, learned

EPOCH = {"kept": "1", "val_balanced_accuracy": "0.7", "above_constant": "1"}


def is_above_constant(same: np.ndarray, labels: np.ndarray) -> int:
    """Return whether answers (n,), true for same, are above a constant answer."""
    logits = np.column_stack([np.zeros(len(same)), np.where(same, 1.0, -1.0)])
    return validation_columns(logits, labels, {})["above_constant"]


@pytest.mark.parametrize("same", [4, 40, 4000])
@pytest.mark.parametrize("answer", [True, False])
def test_a_constant_answer_is_never_above_itself(same, answer):
    labels = np.repeat([1, 0], [same, 9 * same])
    assert not is_above_constant(np.full(len(labels), answer), labels)
    assert is_above_constant(labels.astype(bool), labels), "a perfect network is above it"


@pytest.mark.parametrize("same", [36, 300, 1000])
@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_guesses_pass_in_few_of_a_thousand_cases(same, rate):
    rng, labels = np.random.default_rng(0), np.repeat([1, 0], [same, 9 * same])
    passed = [is_above_constant(rng.random(len(labels)) < rate, labels) for _ in range(1000)]
    assert np.mean(passed) <= 0.005


def test_networks_trained_on_noise_do_not_pass():
    """The best of several epochs is chosen, which favours luck; pairs share images, so they are not independent."""
    prepare_torch("cpu", 1)

    def noise(seed: int) -> Split:
        rng = np.random.default_rng(seed)
        pairs, same = rng.integers(0, 40, (400, 2)), np.arange(400) % 10 == 0
        return Split.of(rng.integers(0, 256, (40, 1, 8, 8), dtype=np.uint8), pairs, same, CPU)

    passed = 0
    for seed in range(12):
        _, rows = learned(noise(2 * seed), noise(2 * seed + 1), seed, epochs=4, same_weight="balanced")
        passed += not shortfall(kept_epoch(rows), 0.55, "pairs")
    assert passed <= 1


@pytest.mark.parametrize(
    ("row", "require", "expected"),
    [
        (EPOCH, 0.55, ""),
        (EPOCH, 0.7, ""),
        (EPOCH, 0.8, "a balanced accuracy of 0.700 on the validation pairs.*training.require is 0.8"),
        (EPOCH | {"above_constant": "0"}, 0.55, "0.700 .*this is within three standard errors"),
        (EPOCH | {"above_constant": "0"}, 0, ""),
        (
            {"kept": "1", "val_balanced_accuracy": "0.5"},
            0.55,
            "a constant answer has 0.5, and training.require is 0.55",
        ),
        ({"kept": "1", "val_balanced_accuracy": "0.7"}, 0.55, ""),
    ],
    ids=["good", "exactly", "below", "chance", "everything accepted", "older history below", "older history"],
)
def test_what_a_network_lacks_is_named(row, require, expected):
    lacks = shortfall(row, require, "pairs")
    assert re.search(expected, lacks) and bool(expected) == bool(lacks)


@pytest.fixture
def files(tmp_path):
    """Arguments of the script train, for pairs of black images, from which nothing can be learned."""
    arguments = []
    for split, seed in (("train", 0), ("val", 1)):
        save_array(tmp_path / f"images_{split}.npy", np.zeros((60, 1, 8, 8), np.uint8))
        save_array(tmp_path / f"inputs_{split}.npy", bars(seed).index.numpy())
        save_array(tmp_path / f"labels_{split}.npy", bars(seed).labels.numpy())
        kinds = ("images", "inputs", "labels")
        arguments += [f"--{split}", *(str(tmp_path / f"{kind}_{split}.npy") for kind in kinds)]
    outputs = {n: tmp_path / f"{n}.{end}" for n, end in (("model", "pt"), ("history", "csv"))}
    arguments += [word for name, path in outputs.items() for word in (f"--{name}", str(path))]
    arguments += ["--network", json.dumps({"channels": [4], "hidden": [4], "dropout": 0})]
    return [*arguments, "--seed", "7"], outputs


def warning_about(history, seeds) -> str:
    return warning_of(argparse.Namespace(training=str(history), seeds=seeds, task="pairs"))


def recipe(require: float) -> list[str]:
    return ["--training", json.dumps({"epochs": 1, "learning_rate": 0.003, "require": require})]


def test_training_stops_at_a_network_that_learned_nothing(files):
    arguments, outputs = files
    message = (
        r"the network of seed 7 has a balanced accuracy of 0\.500 .*training\.require is 0\.55\. Change .*training"
        r"\.epochs: 1, training\.learning_rate: 0\.003, training\.same_weight: balanced\).*training\.require: 0"
    )
    with pytest.raises(StudyError, match=message):
        script.work(script.options().parse_args([*arguments, *recipe(0.55)]))
    assert not any(path.exists() for path in outputs.values())
    script.work(script.options().parse_args([*arguments, *recipe(0)]))
    assert all(path.exists() for path in outputs.values())
    assert warning_about(outputs["history"], [7]) == (
        "WARNING: the network is not clearly better than a constant answer on the validation pairs. "
        "The curve of such a network says nothing about pruning."
    )


def test_a_warning_names_the_networks(tmp_path):
    for seed in range(20):
        rows = [{"epoch": e, "above_constant": int(seed < 3 or e == 1), "kept": int(e == 2)} for e in (1, 2)]
        write_rows(tmp_path / f"{seed}.csv", rows)
    assert warning_about(tmp_path / "{seed}.csv", range(3)) == ""
    some, every = (warning_about(tmp_path / "{seed}.csv", seeds) for seeds in ((1, 2, 3, 5), range(20)))
    assert some.startswith("WARNING: 2 of 4 networks (seed 3, 5) are not clearly better than a constant answer")
    assert "17 of 20 networks (seed 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, …)" in every


def test_ten_classes_must_go_the_same_share_of_the_way_from_a_constant_answer():
    """0.55 of two classes is a tenth of the way from 0.5 to 1, so 0.19 of ten classes."""
    row = {"kept": "1", "above_constant": "1", "constant": "0.1", "val_balanced_accuracy": "0.18"}
    assert shortfall(row, 0.55, "images") == (
        "a balanced accuracy of 0.180 on the validation images; a constant answer has 0.1, and training.require is "
        "0.55, which asks for 0.19 here"
    )
    assert shortfall(row | {"val_balanced_accuracy": "0.2"}, 0.55, "images") == ""
    assert "which asks for 0.01 here" in shortfall(row | {"constant": "0.01", "val_balanced_accuracy": "0"}, 0.5, "x")


@pytest.mark.parametrize("count", [3, 10])
def test_guesses_of_many_classes_pass_in_few_of_a_thousand_cases(count):
    rng, labels = np.random.default_rng(0), np.arange(300) % count
    guesses = [validation_columns(rng.normal(size=(300, count)), labels, {}) for _ in range(1000)]
    assert np.mean([each["above_constant"] for each in guesses]) <= 0.005
    assert validation_columns(np.eye(count)[labels], labels, {})["above_constant"]
    for answer in range(count):
        columns = validation_columns(np.tile(np.eye(count)[answer], (300, 1)), labels, {})
        assert columns["val_balanced_accuracy"] == pytest.approx(columns["constant"]) == pytest.approx(1 / count)
        assert not columns["above_constant"]


@pytest.mark.parametrize("counts", [[5, 2, 3], [1, 9], [4, 4, 4, 1]])
def test_balanced_gives_every_class_the_same_total_weight(counts):
    balanced = RECIPE.model_copy(update={"same_weight": "balanced"})
    weights = class_weights(balanced, np.repeat(np.arange(len(counts)), counts))
    assert np.multiply(weights, counts) == pytest.approx(np.full(len(counts), counts[0]))
    assert class_weights(RECIPE.model_copy(update={"same_weight": 6.0}), np.array([0, 1])) == [1.0, 6.0]


def single_images(seed: int) -> Split:
    """Return images of three classes: a bright bar at the top, in the middle or at the bottom."""
    rng, labels = np.random.default_rng(seed), np.arange(180) % 3
    images = rng.integers(0, 100, (180, 1, 8, 8), dtype=np.uint8)
    for label in range(3):
        images[labels == label, :, 3 * label : 3 * label + 2] = 250
    return Split.of(images, np.arange(180)[:, None], labels, CPU)


def test_a_network_learns_three_classes_of_single_images():
    """The recall of single classes is no column; `swap` has no effect on single images."""
    splits, recipe = (single_images(0), single_images(1)), {"same_weight": "balanced"}
    (model, rows), (other, _) = (learned(*splits, swap=swap, **recipe) for swap in (True, False))
    assert list(rows[0])[:6] == ["epoch", "train_loss", "val_loss", "val_accuracy", "val_balanced_accuracy", "constant"]
    assert kept_epoch(rows)["val_balanced_accuracy"] > 0.9 and kept_epoch(rows)["constant"] == 1 / 3
    assert all(torch.equal(*each) for each in zip(model.state_dict().values(), other.state_dict().values()))
