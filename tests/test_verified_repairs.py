"""Repairs of the pruned torch network, which verify those of the sweep, against the formulas written out here."""

import copy
import dataclasses
import json
from unittest import mock

import numpy as np
import pytest
import torch
import verify_surgery
from conftest import random_network, random_split
from hypothesis import given, settings
from hypothesis import strategies as st
from prunecurve.activations.collection import collect
from prunecurve.arrays import save_array
from prunecurve.data.batches import Split, all_logits
from prunecurve.errors import StudyError
from prunecurve.graph.description import describe
from prunecurve.graph.layer_file import save_layer
from prunecurve.graph.layers import PrunableLayer
from prunecurve.model.conv_net import Architecture
from prunecurve.model.model_file import ModelFile
from prunecurve.model.network_file import save_model
from prunecurve.seeding import stream
from prunecurve.sweep import repair as sweep_repair
from prunecurve.sweep.backends import torch_backend
from prunecurve.sweep.calibration import calibrate
from prunecurve.sweep.evaluation import Evaluator
from prunecurve.sweep.inputs import Calibration
from prunecurve.sweep.removal import VARIANTS
from prunecurve.tables import read_rows, write_rows
from prunecurve.verification.comparison import require_all_agree, verify
from prunecurve.verification.perturbation import Perturbation
from prunecurve.verification.repairs import Repairs, fitted_bias, shares_of
from torch import nn
from torch.nn import functional

CLASSES = 3


class Network(nn.Module):
    """A network with the layer `first`, whose channels are removed, and a classifier `head`."""

    def __init__(self, forward, **modules):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.run = forward

    def forward(self, x):
        return self.run(self, x)


def plain(net, x):
    return net.head(net.second(torch.relu(net.first(x))).relu().mean((2, 3)))


def branches(net, x):
    x = torch.relu(net.first(x))
    return net.head((net.wide(x).relu() + net.second(x)).mean((2, 3)))


def residual(net, x):
    x = torch.relu(net.first(x))
    return net.head((x + net.second(x)).relu().mean((2, 3)))


def twice(net, x):
    x = torch.relu(net.first(x))
    return net.head(torch.relu(net.second(x) + net.second(functional.avg_pool2d(x, 2)).repeat(1, 1, 2, 2)).mean((2, 3)))


def behind(net, x):
    x = torch.relu(net.norm(net.deep(torch.relu(net.first(x)))))
    return net.head(torch.relu(net.after(net.second(x))).mean((2, 3)))


def tokens(net, x):
    x = net.second(torch.relu(net.first(x.flatten(2).mT)))
    return net.head(torch.relu(x).mean(1))


def conv(inputs, outputs, size=3, **options):
    return nn.Conv2d(inputs, outputs, size, **{"padding": np.asarray(size) // 2} | options)


# The forward pass, its modules (given the width P) and the layers that read the channels.
NETWORKS = {
    "strided": (plain, lambda p: {"second": conv(p, 4, stride=(2, 1))}, ["second"]),
    "one side padded more": (plain, lambda p: {"second": conv(p, 4, (2, 4), padding="same", dilation=2)}, ["second"]),
    "reflected": (plain, lambda p: {"second": conv(p, 4, padding_mode="reflect", dilation=2, padding=2)}, ["second"]),
    "two readers": (branches, lambda p: {"wide": conv(p, 4, 5), "second": conv(p, 4, 1)}, ["wide", "second"]),
    "reads and computes the channels": (residual, lambda p: {"second": conv(p, p)}, ["second", "head"]),
    "runs twice": (twice, lambda p: {"second": conv(p, 4)}, ["second"]),
    "no bias, behind other modules": (
        behind,
        lambda p: {
            "deep": conv(p, p, groups=p),
            "norm": nn.BatchNorm2d(p),
            "second": conv(p, 4, bias=False),
            "after": nn.BatchNorm2d(4),
        },
        ["second"],
    ),
    "positions of a linear layer": (
        tokens,
        lambda p: {"first": nn.Linear(2, p), "second": nn.Linear(p, 4)},
        ["second"],
    ),
}


def network(name: str, width: int, seed: int = 0) -> nn.Module:
    """Return a network of this name with random weights; the head reads what `second` computes."""
    torch.manual_seed(seed)
    forward, modules, _ = NETWORKS[name]
    parts = {"first": conv(2, width)} | modules(width)
    model = Network(forward, **parts, head=nn.Linear(len(parts["second"].weight), CLASSES))
    for key, tensor in model.state_dict().items():
        if "norm" in key or "after" in key:
            tensor.copy_(torch.rand(tensor.shape) + 0.3)
        elif key.endswith("weight"):
            # Torch's own random weights give almost the same logits for all inputs.
            tensor.mul_(4)
    return model.to(memory_format=torch.channels_last).eval()


def split_of(seed: int, inputs: int = 60, classes: int = CLASSES) -> Split:
    """Return inputs of 2 × 8 × 8, many more of the class 0 than of the others."""
    split = random_split(Architecture(in_channels=2, image_size=8), seed, images=30, pairs=inputs)
    labels = torch.from_numpy(np.random.default_rng(seed).integers(0, classes, inputs).clip(0))
    labels[inputs // 2 :] = 0
    labels[:classes] = torch.arange(classes)
    return dataclasses.replace(split, labels=labels)


def weights_of(labels: np.ndarray, weights: str) -> np.ndarray:
    totals = {c: (labels == c).sum() for c in labels}
    each = np.array([1 / totals[c] if weights == "balanced" else 1.0 for c in labels])
    return each / each.sum()


def rows_of(model, path: str, split: Split) -> np.ndarray:
    """Return what a layer reads in all calls, float64 (N, positions, D)."""
    read, layer = [], model.get_submodule(path)
    handle = layer.register_forward_hook(lambda module, inputs, output: read.append((inputs[0].detach(), output)))
    model(split.inputs(torch.arange(len(split))))
    handle.remove()
    calls = []
    for x, y in read:
        if isinstance(layer, nn.Conv2d):
            mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
            x = functional.pad(x, layer._reversed_padding_repeated_twice, mode)
            x = functional.unfold(x, layer.kernel_size, layer.dilation, 0, layer.stride).mT
            assert x.shape[1] == y[0, 0].numel()
        else:
            x = x.reshape(len(x), -1, x.shape[-1])
        count = x.shape[1]
        some = stream(0, f"calibration/{path}").choice(count, 16, replace=False) if count > 16 else np.arange(count)
        calls.append(x[:, np.sort(some)].double().numpy())
    return np.concatenate(calls, axis=1)


@torch.no_grad()
def by_formula(model, readers, removed, split: Split, weights: str, entries: int = 1) -> nn.Module:
    """Return the unpruned network with refitted readers, whose weights for the removed channels are zero.

    entries: of each channel in what the readers read, such as the positions of a map.
    """
    result, shares = copy.deepcopy(model), weights_of(split.labels.numpy(), weights)
    for path in readers:
        x, layer = rows_of(model, path, split), result.get_submodule(path)
        w = np.repeat(shares / x.shape[1], x.shape[1])
        x = x.reshape(len(w), -1)
        matrix = layer.weight.double().flatten(1).numpy().T
        mean = w @ x
        covariance = (x - mean).T * w @ (x - mean)
        covariance += (1e-3 * np.trace(covariance) / len(covariance) or 1) * np.eye(len(covariance))
        channel = np.arange(len(matrix)) // (len(matrix) // layer.weight.shape[1] * entries)
        kept, fitted = np.flatnonzero(~np.isin(channel, removed)), np.zeros_like(matrix)
        fitted[kept] = np.linalg.inv(covariance[np.ix_(kept, kept)]) @ (covariance @ matrix)[kept]
        before = torch.zeros(len(layer.weight)) if layer.bias is None else layer.bias
        layer.bias = nn.Parameter((before.double() + torch.from_numpy(mean @ matrix - mean @ fitted)).float())
        layer.weight.copy_(torch.from_numpy(fitted.T).reshape(layer.weight.shape))
    return result


def same(one: nn.Module, other: nn.Module, split: Split) -> None:
    one, other = all_logits(one, split), all_logits(other, split)
    assert np.abs(one - other).max() <= 1e-5 * max(1, np.abs(other).max())


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=5)
@given(st.integers(2, 7), st.floats(0, 0.99), st.integers(0, 99), st.booleans())
def test_readers_are_those_of_the_formula(name, width, share, seed, balanced):
    """For other inputs than those that they are fitted to; by Torch-Pruning, and by a perturbation."""
    model, (calibration, split) = network(name, width, seed), map(split_of, (seed, seed + 1))
    removed = np.sort(np.random.default_rng(seed).permutation(width)[: int(share * width)])
    weights = "balanced" if balanced else "equal"
    expected = by_formula(model, NETWORKS[name][2], removed, calibration, weights)
    for perturbation in (None, Perturbation(model, next(split.batches(1))[0])):
        refitted = Repairs(model, "first", calibration, weights, perturbation).repaired(removed, "refit")
        same(refitted, expected, split)
        assert len(refitted.first.weight) == width - (perturbation is None) * len(removed)


@given(st.integers(0, 99), st.sampled_from(["conv1", "conv2", "linear1"]), st.integers(0, 4))
def test_readers_of_the_built_in_network(seed, path, k):
    architecture = Architecture(in_channels=2, image_size=12, channels=[5, 5], hidden=[5, 4])
    model, calibration = random_network(architecture, seed), random_split(architecture, seed, 30, 80)
    removed = np.sort(np.random.default_rng(seed).permutation(5)[:k])
    reader, entries = {"conv1": ("conv2", 1), "conv2": ("linear1", 9), "linear1": ("linear2", 1)}[path]
    expected = by_formula(model, [reader], removed, calibration, "balanced", entries)
    refitted = Repairs(model, path, calibration, "balanced").repaired(removed, "refit")
    same(refitted, expected, random_split(architecture, seed + 1))


def test_without_removed_channels_a_refit_is_the_unpruned_network():
    model, split = network("two readers", 5), split_of(0)
    refitted = Repairs(model, "first", split, "balanced").repaired(np.arange(0), "refit")
    assert np.array_equal(all_logits(refitted, split), all_logits(model, split))


def test_channels_that_are_always_zero_change_no_weights():
    model, split = network("strided", 4), split_of(0)
    nn.init.zeros_(model.first.weight)
    nn.init.constant_(model.first.bias, -1.0)
    refitted = Repairs(model, "first", split, "equal").repaired(np.array([1]), "refit")
    assert torch.equal(refitted.second.weight, model.second.weight[:, [0, 2, 3]])


@pytest.mark.parametrize("weights", ["balanced", "equal"])
@pytest.mark.parametrize(("repair", "removed"), [("bias", []), ("bias", [0, 3]), ("refit_bias", [0, 3])])
def test_with_fitted_biases_the_mean_probabilities_are_the_shares_of_the_classes(repair, removed, weights):
    """The condition of the minimum. The first bias stays as it is."""
    model, split = network("strided", 5), split_of(0)
    repairs = Repairs(model, "first", split, weights)
    without = "refit" if repair == "refit_bias" else "none"
    before, after = (all_logits(repairs.repaired(np.array(removed, int), each), split) for each in (without, repair))
    change = after - before
    assert np.abs(change - change[0]).max() < 1e-5 and not change[:, 0].any() and np.abs(change[0, 1:]).min() > 1e-3
    shares = weights_of(split.labels.numpy(), weights)
    p = functional.softmax(torch.from_numpy(after).double(), dim=1).numpy()
    totals = np.bincount(split.labels, shares)
    assert totals == pytest.approx([1 / CLASSES] * CLASSES if weights == "balanced" else totals)
    # Apart from the ridge.
    assert (shares @ p + 1e-6 * change[0])[1:] == pytest.approx(totals[1:], abs=1e-6)


@given(st.integers(2, 12), st.floats(0, 30), st.integers(0, 99))
def test_biases_are_those_of_newtons_method(classes, distance, seed):
    """The classes are up to 30 apart: no prediction is then uncertain, and the loss is almost flat."""
    rng = np.random.default_rng(seed)
    labels = np.append(np.arange(classes), rng.integers(0, classes, 200))
    logits = rng.normal(size=(len(labels), classes))
    logits[np.arange(len(labels)), labels] += distance
    shares = shares_of(labels, "balanced")
    assert shares == pytest.approx(weights_of(labels, "balanced"))
    found = fitted_bias(logits, labels, shares)
    p = functional.softmax(torch.from_numpy(logits + found), dim=1).numpy()
    # The gradient of the cross-entropy, and that of the ridge.
    gradient = shares @ p - 1 / classes + 1e-6 * found
    assert gradient[1:] == pytest.approx(np.zeros(classes - 1), abs=1e-8) and found[0] == 0


def evaluator_of(
    folder, model, path: str, calibration: Split, split: Split, weights: str, single_inputs: int
) -> Evaluator:
    """Write the files of a layer and of the calibration inputs as the workflow does, and read them."""
    shape, fitted_to = (2, *split.images.shape[2:]), folder / "calibration"
    layer, labels = PrunableLayer(model, path, shape), calibration.labels.numpy()
    collect(layer, split, 64, folder)
    save_layer(folder / "layer.npy", describe(layer))
    save_array(folder / "labels.npy", split.labels.numpy())
    shares = sweep_repair.shares(labels, weights)
    calibrate(layer, calibration, shares, 64, fitted_to, most_inputs=single_inputs)
    save_array(fitted_to / "labels.npy", labels)
    save_array(fitted_to / "shares.npy", shares)
    files = (str(fitted_to / f"{name}.npy") for name in ("moments", "features", "labels", "shares"))
    paths = (str(folder / f"{name}.npy") for name in ("features", "labels", "layer"))
    with mock.patch.object(torch_backend, "load_network", lambda file: (copy.deepcopy(model), shape, ())):
        return Evaluator(*paths, model=ModelFile(folder / "model.pt"), calibration=Calibration(*files))


def order_of(seed: int, layer: nn.Module) -> np.ndarray:
    return np.random.default_rng(seed).permutation(len(layer.weight))


def verified(
    folder, model, path: str, seed: int, weights: str, by_surgery: str | None = None, single_inputs: int = 4096
) -> list[dict]:
    """Return the rows of the verification of all K and repairs. by_surgery: the weights there, if they are others."""
    calibration, split = split_of(seed, 80), split_of(seed + 1)
    evaluator = evaluator_of(folder, model, path, calibration, split, weights, single_inputs)
    channels, order, rows = evaluator.layer.channels, order_of(seed, model.get_submodule(path)), {}
    for each in VARIANTS[-3:]:
        write_rows(folder / f"{each}.csv", evaluator.rows(order, range(channels), each, task="classes"))
        rows |= {("l1_norm", each, k): str(folder / f"{each}.csv") for k in range(channels)}
    repairs = {"calibration": calibration, "weights": by_surgery or weights, "single_inputs": single_inputs}
    return list(verify(model, split, evaluator, {"l1_norm": order}, rows, 1e-4, "classes", **repairs))


BUILT_IN = Architecture(in_channels=2, image_size=8, channels=[5, 6], hidden=[5, 4], classes=CLASSES)


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=5)
@given(st.integers(2, 7), st.integers(0, 99), st.booleans(), st.sampled_from([1, 4096]))
def test_the_sweep_repairs_as_surgery_does(tmp_path_factory, name, width, seed, balanced, single_inputs):
    model, folder = network(name, width, seed), tmp_path_factory.mktemp("network")
    weights = "balanced" if balanced else "equal"
    rows = verified(folder, model, "first", seed, weights, single_inputs=single_inputs)
    assert [(row["removal"], row["repair"]) for row in rows[::width]] == [
        ("structural", repair) for repair in ("bias", "refit", "refit_bias")
    ]
    require_all_agree(rows, name)


@given(st.sampled_from(["conv1", "conv2", "linear1"]), st.integers(0, 99), st.sampled_from([1, 4096]))
def test_the_sweep_repairs_the_built_in_network_as_surgery_does(tmp_path_factory, path, seed, single_inputs):
    """Also where the sweep runs in numpy, and the positions of a flattened map share their coefficients."""
    model, folder = random_network(BUILT_IN, seed), tmp_path_factory.mktemp("network")
    require_all_agree(verified(folder, model, path, seed, "equal", single_inputs=single_inputs), path)


@pytest.mark.parametrize("weights", ["balanced", "equal"])
@pytest.mark.parametrize("path", ["conv1", "conv2"])
def test_the_script_verifies_repairs(path, weights, tmp_path):
    model = random_network(BUILT_IN, 0)
    expected = verified(tmp_path, model, path, 0, weights)
    save_model(tmp_path / "model.pt", model)
    for folder, split in ((tmp_path, split_of(1)), (tmp_path / "calibration", split_of(0, 80))):
        save_array(folder / "images.npy", split.images.numpy())
        save_array(folder / "inputs.npy", split.index.numpy())
    write_rows(tmp_path / "order.csv", [{"channel": channel} for channel in order_of(0, model.get_submodule(path))])
    fitted_to = [f"calibration/{name}.npy" for name in ("moments", "features", "labels", "shares", "images", "inputs")]
    options = {"model": ["model.pt"], "layer": ["layer.npy"], "features": ["features.npy"], "ranking": ["order.csv"]}
    options |= {
        "split": ["images.npy", "inputs.npy", "labels.npy"],
        "calibration": fitted_to,
        "rows": ["{removal}.csv"],
    }
    options |= {"output": ["verification.csv"]}
    words = [word for name, files in options.items() for word in (f"--{name}", *(str(tmp_path / f) for f in files))]
    checks = [f"l1_norm:structural+{row['repair']}:{row['k']}" for row in expected]
    words += ["--checks", *checks, "--task", "classes", "--repair", json.dumps({"weights": weights})]
    verify_surgery.work(verify_surgery.options().parse_args(words))
    rows = read_rows(tmp_path / "verification.csv")
    assert list(rows[0])[:5] == ["criterion", "removal", "repair", "k", "verified_by"]
    columns = ("removal", "repair", "k", "correct_0_surgery")
    assert [[row[c] for c in columns] for row in rows] == [[str(row[c]) for c in columns] for row in expected]


def test_repairs_that_are_fitted_to_other_inputs_disagree(tmp_path):
    """Each repair, wherever it changes something; equal weights in the sweep, balanced ones in the surgery."""
    model = network("strided", 5)
    rows = verified(tmp_path, model, "first", 0, "equal", "balanced")
    agree = {(row["repair"], row["k"]) for row in rows if row["agrees"]}
    assert agree == {("refit", 0)}
    message = r"in 14 of 15 comparisons: K = 0, l1_norm, structural\+bias: logits differ by up to .*structural\+refit: "
    with pytest.raises(StudyError, match=message):
        require_all_agree(rows, "here")


def test_a_network_with_one_answer_for_all_inputs_has_ties_of_all_classes(tmp_path):
    """Its fitted biases make all logits equal but for rounding, which decides the answers."""
    model = network("strided", 3)
    nn.init.constant_(model.first.bias, -9.0)
    rows = verified(tmp_path, model, "first", 0, "balanced")
    require_all_agree(rows, "here")
