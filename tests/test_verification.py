"""The verification must be able to fail: each compared quantity is changed once."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import verify_surgery
from conftest import PROJECT, layer_of, random_network, random_split
from hypothesis import given
from hypothesis import strategies as st
from prunecurve.verification.checked_ks import checked_ks
from prunecurve.errors import StudyError
from prunecurve.data.tasks.pairs.metrics import COUNTS, bounds, measure
from prunecurve.data.batches import all_logits
from prunecurve.data.tasks import metrics_of
from prunecurve.arrays import save_array
from prunecurve.tables import read_rows, write_rows
from prunecurve.model.conv_net import Architecture
from prunecurve.model.model_file import ModelFile
from prunecurve.activations.collection import collect
from prunecurve.sweep.evaluation import Evaluator
from prunecurve.plan.costs import SIZES
from prunecurve.verification import comparison
from prunecurve.verification.comparison import (
    allowed_difference,
    require_all_agree,
    rounding_error,
    unproven,
    verify,
)
from test_surgery import written

METRICS = ("auroc", "average_precision", "log_loss")
LABELS = np.array([1, 1, 0, 0, 0, 0])
# No two scores are equal: rounding decides the order of those that are.
LOGITS = np.array([[0, 2], [1, 0], [1.5, 0], [3, 1], [0, 1], [2, 1.25]], dtype=np.float32)
SIZE = {"params": 1234, "macs": 56789}


def row_of(logits) -> dict[str, str]:
    return {name: str(value) for name, value in (measure(logits, LABELS) | SIZE).items()}


ROW = row_of(LOGITS)


def compare(*arguments, **more) -> dict[str, object]:
    return comparison.compare(*arguments, SIZE, **more)


@pytest.mark.parametrize(("difference", "agrees"), [(1e-6, True), (2e-4, False)])
def test_logits_agree_up_to_the_tolerance(difference, agrees):
    found = compare(ROW, LOGITS, LOGITS + np.float32(difference), LABELS, 1e-4)
    assert found["agrees"] is agrees and found["rounding_flips"] == 0
    assert found["max_logit_difference"] == pytest.approx(difference, rel=0.2)
    assert (found["tp_sweep"], found["tp_surgery"]) == (1, 1)


def test_where_surgery_changes_little_less_is_allowed():
    """A sweep that removed nothing would pass 1e-4 if the removal changes logits by 8e-5."""
    cut = LOGITS + 8e-5
    assert compare(ROW, LOGITS, cut, LABELS, 1e-4)["agrees"]
    found = compare(ROW, LOGITS, cut, LABELS, 1e-4, effect=8e-5)
    assert not found["agrees"] and found["allowed_difference"] == pytest.approx(2e-6 * cut.max())
    # Rounding of float32 is allowed, even where the removal has no effect; the run says that this shows little.
    row = {"criterion": "l1_norm", "removal": "structural", "repair": "none", "k": 5}
    same = row | compare(ROW, LOGITS, LOGITS + 1e-7, LABELS, 1e-4, effect=1e-7)
    assert same["agrees"] and "changes no logit by more than 1e-07" in unproven([same, same])[0]
    large = row | compare(ROW, LOGITS, LOGITS + 1e-6, LABELS, 1e-4, effect=2.0)
    assert large["agrees"] and large["allowed_difference"] == 1e-4 and not unproven([large])


def test_one_huge_logit_or_an_infinite_one_allows_no_larger_difference():
    """A network can mask a class with -1e9, and constants of the number type differ between float32 and float64."""
    masked = LOGITS.copy()
    masked[0, 0] = -1e9
    assert not compare(row_of(masked), masked, masked + np.float32(0.1) * (LOGITS > 1), LABELS, 1e-4, effect=0.2)[
        "agrees"
    ]
    infinite = LOGITS.copy()
    infinite[0, 0] = np.inf
    assert allowed_difference(1e-4, np.inf, infinite) == 1e-4


class Amplifying(torch.nn.Module):
    """Rounding errors of its logits are those of numbers around 10⁵: 0.004."""

    def forward(self, x):
        return (x.flatten(1)[:, :2] + 1e5) - 1e5


class InFloat32(torch.nn.Module):
    def forward(self, x):
        return x.flatten(1)[:, :2] @ torch.ones(2, 2)


def test_a_network_that_amplifies_rounding_is_compared_by_its_own_rounding_error():
    split = random_split(Architecture(in_channels=2, image_size=8), 0)
    by_network = {name: all_logits(name(), split) for name in (Amplifying, InFloat32)}
    explained = rounding_error(Amplifying(), split, by_network[Amplifying], effect=2.0)
    assert 4e-3 < explained <= 4 * 2**-8
    # Where the removal changes little more than rounding does, the comparison could not show an error.
    assert rounding_error(Amplifying(), split, by_network[Amplifying], effect=5 * explained) == 0
    assert rounding_error(Amplifying(), split, np.full_like(by_network[Amplifying], np.inf), effect=np.inf) == 0
    assert rounding_error(InFloat32(), split, by_network[InFloat32], effect=2.0) == 0
    # What the error explains is allowed, and no more.
    for share, agrees in ((0.8, True), (1.25, False)):
        swept = LOGITS + np.float32(share * explained)
        found = compare(row_of(swept), swept, LOGITS, LABELS, 1e-4, effect=2.0, explained=explained)
        assert found["agrees"] is agrees and found["allowed_difference"] == explained
        assert not compare(row_of(swept), swept, LOGITS, LABELS, 1e-4)["agrees"]


@pytest.mark.parametrize("name", COUNTS + METRICS + SIZES)
def test_a_row_with_another_count_metric_or_size_disagrees(name):
    """The logits are right; the row alone holds another value, by as little as it can."""
    wrong = str(float(ROW[name]) + 1e-5) if name in METRICS else str(int(ROW[name]) + 1)
    found = compare(ROW | {name: wrong}, LOGITS, LOGITS, LABELS, 1e-4)
    assert not found["agrees"]
    assert str(found[f"{name}_sweep"]) == wrong and str(found[f"{name}_surgery"]) == ROW[name]


def flipped(number: float) -> np.ndarray:
    """Return the logits with those of an input of class 0 almost equal: it has the other answer if `number` > 0."""
    logits = LOGITS.copy()
    logits[2] = (0, number)
    return logits


@pytest.mark.parametrize(("margin", "agrees"), [(0, True), (1e-6, True), (5e-5, False)])
def test_only_an_input_at_the_very_decision_may_have_another_answer(margin, agrees):
    """In the row alone, which another processor can have computed, or in the sweep."""
    other = flipped(-1e-6 if margin else 1e-6)
    for swept in (other, flipped(margin)):
        found = compare(row_of(other), swept, flipped(margin), LABELS, 1e-4)
        assert found["agrees"] is agrees
        assert abs(found["fp_surgery"] - found["fp_sweep"]) == 1
        assert found["rounding_flips"] == int(agrees)


@pytest.mark.parametrize("answer", range(4))
def test_of_several_classes_any_that_ties_may_be_the_answer(answer):
    """In the row; the sweep has the class 1 on this processor. The class 3 does not tie."""
    labels, cut = np.arange(40) % 4, np.tile(np.array([0, 0, 0, -1e-3], np.float32), (40, 1))
    swept, elsewhere = cut.copy(), cut.copy()
    swept[:, 1] = elsewhere[:, answer] = 1e-7
    row = {name: str(value) for name, value in metrics_of("classes").measure(elsewhere, labels).items()}
    found = comparison.compare(row, swept, cut, labels, 1e-4, {}, "classes")
    assert found["agrees"] is (answer < 3) and found["rounding_flips"] == 40


@pytest.mark.parametrize("changes", [{"fp": "1"}, {"tp": "0", "fn": "2"}, {"accuracy": "0.625"}])
def test_a_flip_explains_no_other_difference(changes):
    logits = flipped(1e-6)
    same = compare(row_of(logits), logits, logits, LABELS, 1e-4)
    assert same["agrees"] and same["rounding_flips"] == 0
    assert not compare(row_of(logits) | changes, logits, logits, LABELS, 1e-4)["agrees"]


ELSEWHERE = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "OPENBLAS_CORETYPE": "Nehalem"}
EVALUATE = """
import sys
from prunecurve.tables import write_rows
from prunecurve.model.model_file import ModelFile
from prunecurve.activations.collection import collect
from prunecurve.sweep.evaluation import Evaluator
*files, model, rows = sys.argv[1:]
write_rows(rows, Evaluator(*files, model=ModelFile(model)).rows(list(range(12)), list(range(12)), "structural"))
"""


@pytest.mark.parametrize("path", ["conv1", "conv2"])
def test_rows_that_another_processor_computed_are_verified(path, tmp_path):
    """With the same instructions, the rows have other bytes; nothing else is another processor's."""
    torch.manual_seed(0)
    architecture = Architecture(in_channels=2, image_size=28, channels=[12, 12], hidden=[64])
    model, split = random_network(architecture, 1), random_split(architecture, 1, images=60, pairs=600)
    files = written(tmp_path, model, split, path)
    paths = [str(each) for each in (*files, tmp_path / "model.pt", tmp_path / "rows.csv")]
    variables = {"PYTHONPATH": f"{PROJECT}/workflow/scripts"}
    stored = {}
    for name, more in (("here", {}), ("elsewhere", ELSEWHERE)):
        subprocess.run([sys.executable, "-c", EVALUATE, *paths], env=os.environ | variables | more, check=True)
        stored[name] = read_rows(tmp_path / "rows.csv")
    losses = [[float(row["log_loss"]) for row in rows] for rows in stored.values()]
    assert max(abs(one - other) for one, other in zip(*losses)) > 1e-9
    evaluator = Evaluator(*files, model=ModelFile(tmp_path / "model.pt"))
    every = {("l1_norm", "structural", k): str(tmp_path / "rows.csv") for k in range(12)}
    found = list(verify(model, split, evaluator, {"l1_norm": np.arange(12)}, every, 1e-4))
    assert len(found) == 12 and all(row["agrees"] for row in found)


def verified(folder, path: str, first: int):
    """Run the script for mean_replacement, with means of the validation inputs from number `first` on.

    The sweep and the surgery read the same means, so all rows agree.
    """
    architecture = Architecture(in_channels=2, image_size=12, channels=[5, 5], hidden=[5, 4])
    model, split = random_network(architecture, 1), random_split(architecture, 1, images=60, pairs=300)
    features, labels, layer, means = (str(each) for each in written(folder, model, split, path))
    some = dataclasses.replace(split, index=split.index[first:], labels=split.labels[first:])
    collect(layer_of(model, path), some, 64, folder)
    collect(layer_of(model, path), split, 64, folder / "all")
    save_array(folder / "images.npy", split.images.numpy())
    save_array(folder / "inputs.npy", split.index.numpy())
    write_rows(folder / "order.csv", [{"channel": channel} for channel in range(5)])
    features = str(folder / "all" / "features.npy")
    evaluator = Evaluator(features, labels, layer, means, ModelFile(folder / "model.pt"))
    write_rows(folder / "rows.csv", evaluator.rows(np.arange(5), [0, 2, 4], "mean_replacement"))
    files = [str(folder / f"{name}.npy") for name in ("images", "inputs", "labels")]
    options = {"model": "model.pt", "layer": "layer.npy", "ranking": "order.csv", "rows": "rows.csv"}
    options |= {"mean-features": "mean_features.npy", "features": "all/features.npy", "output": "verification.csv"}
    words = [word for name, file in options.items() for word in (f"--{name}", str(folder / file))]
    words += ["--split", *files, "--val", *files]
    words += ["--checks", *(f"l1_norm:mean_replacement:{k}" for k in (0, 2, 4))]
    verify_surgery.work(verify_surgery.options().parse_args(words))
    return read_rows(folder / "verification.csv")


@pytest.mark.parametrize("path", ["conv1", "conv2", "linear1"])
def test_mean_maps_are_measured_again(path, tmp_path):
    assert len(verified(tmp_path / "right", path, 0)) == 3
    # The last batch, and all inputs but the first 20.
    for first in (256, 20):
        with pytest.raises(StudyError, match=r"mean_features\.npy does not hold the means .* delete it and run again"):
            verified(tmp_path / str(first), path, first)


@given(st.data(), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e-7, 1e-3, 0.3]))
def test_the_sweeps_metrics_lie_within_what_its_rounding_can_change(data, seed, noise):
    """Logits on a coarse grid, so that many scores tie; the bounds hold for all of them and are exact without noise."""
    rng, count = np.random.default_rng(seed), data.draw(st.integers(2, 40))
    labels = rng.integers(0, 2, count)
    cut = rng.integers(-2, 3, (count, 2)) * data.draw(st.sampled_from([0.0, 0.1, 1.0]))
    swept = cut + noise * rng.uniform(-1, 1, cut.shape)
    for rounding in (0.0, noise / 2):
        found = measure(swept + rounding * rng.uniform(-1, 1, cut.shape), labels)
        for name, (low, high) in bounds(swept, cut, labels, rounding).items():
            assert low - 1e-9 <= found[name] <= high + 1e-9, name


def test_without_ties_the_bounds_are_as_narrow_as_the_rounding():
    scores = np.random.default_rng(0).normal(size=(500, 2))
    labels = np.arange(500) % 10 == 0
    for name, (low, high) in bounds(scores + np.array([0, 1e-9]), scores, labels).items():
        assert high - low < 1e-6, name


def test_disagreement_says_which_k_which_criterion_and_by_how_much():
    row = {"criterion": "l1_norm", "removal": "structural", "repair": "none", "k": 32}
    bad = row | compare(ROW | {"macs": "1"}, LOGITS, LOGITS + 0.25, LABELS, 1e-4)
    good = row | {"k": 0} | compare(ROW, LOGITS, LOGITS, LABELS, 1e-4)
    require_all_agree([good], "here")
    message = (
        r"in 1 of 2 comparisons: K = 32, l1_norm, structural: .* by up to 0\.25 \(allowed .*, macs 1 against 56789$"
    )
    with pytest.raises(StudyError, match=message):
        require_all_agree([good, bad], "here")


@pytest.mark.parametrize(
    ("channels", "ks"), [(128, [0, 1, 32, 64, 96, 127]), (8, [0, 1, 2, 4, 6, 7]), (2, [0, 1]), (3, [0, 1, 2])]
)
def test_checked_ks(channels, ks):
    """The fixed ones, then those that are drawn for each network and ranking."""
    assert checked_ks(channels, 0, 0, "conv3", "l1_norm") == ks
    checked = checked_ks(channels, 5, 0, "conv3", "l1_norm")
    # A narrow layer has no more than two further K, or none.
    assert len(set(checked)) == len(checked) == min(len(ks) + 5, channels) and set(checked) <= set(range(channels))
    assert checked[: len(ks)] == ks and checked[len(ks) :] == sorted(checked[len(ks) :])
    assert set(checked_ks(channels, 2, 0, "conv3", "l1_norm")) <= set(checked)
    others = [(1, "conv3", "l1_norm"), (0, "conv2", "l1_norm"), (0, "conv3", "random-1")]
    assert channels < 128 or all(checked_ks(channels, 5, *other) != checked for other in others)
