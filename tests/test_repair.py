"""Repairs: refits against numpy's least squares, biases against scipy's minimiser, and what they are fitted to."""

import copy

import numpy as np
import pytest
import torch
from conftest import random_network, random_split
from hypothesis import given
from hypothesis import strategies as st
from prunecurve.activations.collection import collect
from prunecurve.arrays import load_array, save_array
from prunecurve.data.batches import Split, all_logits
from prunecurve.errors import StudyError
from prunecurve.graph.description import describe
from prunecurve.graph.layer_file import save_layer
from prunecurve.graph.layers import PrunableLayer
from prunecurve.model.conv_net import Architecture, ConvNet
from prunecurve.model.model_file import ModelFile
from prunecurve.model.network_file import save_model
from prunecurve.sweep.backends import torch_backend
from prunecurve.sweep.calibration import Moments, calibrate, rows_of
from prunecurve.sweep.evaluation import Evaluator
from prunecurve.sweep.inputs import Calibration, InputFiles
from prunecurve.sweep.repair import POSITIONS, Reader, Refit, chosen_positions, drawn, fitted_bias, load_readers, shares
from prunecurve.verification.repairs import fitted_bias as by_surgery
from scipy.optimize import minimize
from scipy.special import log_softmax
from torch import nn
from torch.nn import functional

RIDGE = 1e-3


@st.composite
def readers(draw):
    """Draw inputs (n, U, b) of a reader, the channels of its units, its weights, and the weights of the inputs."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels, repeats, of_unit = draw(st.integers(2, 5)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    numbers = np.concatenate([np.arange(channels).repeat(repeats), np.full(draw(st.integers(0, 2)), -1)])
    inputs = rng.normal(rng.normal(size=len(numbers))[:, None], size=(draw(st.integers(2, 60)), len(numbers), of_unit))
    # Correlated inputs, one of which is constant.
    inputs = np.einsum("nub,uv->nvb", inputs, rng.normal(size=(len(numbers), len(numbers))))
    inputs[:, rng.integers(len(numbers))] = 0.5
    weights = rng.random(len(inputs)) + 0.1
    weight = rng.normal(size=(len(numbers) * of_unit, draw(st.integers(1, 4))))
    return rng, inputs, rng.permutation(numbers), weight, weights / weights.sum()


@given(readers())
def test_a_refit_is_the_least_squares_fit_for_every_k(case):
    """Each removed unit is predicted from those that are left; with b = 1, that is the fit of the outputs itself."""
    rng, x, numbers, weight, each = case
    mean = np.einsum("n,nub->ub", each, x)
    centred = np.sqrt(each)[:, None, None] * (x - mean)
    rows = centred.transpose(0, 2, 1).reshape(-1, len(numbers))
    reader = Reader("head", weight.reshape(len(numbers), -1), mean, rows.T @ rows, numbers)
    order = rng.permutation(numbers.max() + 1)
    refit, ridge = Refit(reader, order), np.sqrt(RIDGE * (rows**2).sum() / len(numbers))
    changed, coefficients = refit.basis(x), refit.coefficients(weight).reshape(*mean.shape, -1)
    for k in range(len(order)):
        left = np.flatnonzero(~np.isin(numbers, order[:k]))
        gone = np.setdiff1d(np.arange(len(numbers)), left)
        padded = np.vstack([rows, ridge * np.eye(len(numbers))])
        prediction = np.linalg.lstsq(padded[:, left], padded[:, gone], rcond=None)[0]
        expected = np.zeros((*mean.shape, weight.shape[1]))
        whole = weight.reshape(expected.shape)
        expected[left] = whole[left] + np.einsum("lg,gbh->lbh", prediction, whole[gone])
        fitted, added = refit.fitted(k, weight)
        assert fitted.reshape(expected.shape) == pytest.approx(expected, rel=1e-6, abs=1e-7)
        assert added == pytest.approx(np.einsum("ub,ubh->h", mean, whole - expected), rel=1e-6, abs=1e-7)
        # Cut off in the other basis, the outputs are the same.
        outputs = x.reshape(len(x), -1) @ fitted + added
        cut = mean.ravel() @ weight + np.einsum("nub,ubh->nh", changed[:, : len(left)], coefficients[: len(left)])
        assert cut == pytest.approx(outputs, rel=1e-6, abs=1e-6)


def test_a_reader_of_constant_inputs_keeps_its_weights():
    weight = np.arange(6.0).reshape(3, 2)
    refit = Refit(Reader("head", weight, np.ones((3, 1)), np.zeros((3, 3)), np.arange(3)), np.array([1, 0, 2]))
    fitted, added = refit.fitted(1, weight)
    assert fitted.tolist() == [[0, 1], [0, 0], [4, 5]] and added.tolist() == [2, 3]


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.floats(0.01, 30))
def test_fitted_biases_minimise_the_cross_entropy(seed, classes, spread):
    rng = np.random.default_rng(seed)
    labels = np.append(np.arange(classes), rng.integers(0, classes, 60))
    logits = (spread * rng.normal(size=(len(labels), classes)) + 5 * rng.normal(size=classes)).astype(np.float32)
    each = shares(labels, "balanced")
    bias = fitted_bias(logits, labels, each)

    def loss(free):
        moved = log_softmax(logits.astype(np.float64) + np.append(0, free), axis=1)
        return -each @ moved[np.arange(len(labels)), labels] + 1e-6 / 2 * free @ free

    assert bias[0] == 0 and loss(bias[1:]) <= minimize(loss, np.zeros(classes - 1)).fun + 1e-9


def test_classes_have_the_same_total_weight():
    labels = np.array([0, 0, 0, 1])
    assert shares(labels, "balanced").tolist() == [1 / 6, 1 / 6, 1 / 6, 1 / 2]
    assert shares(labels, "equal").tolist() == [1 / 4] * 4


def test_a_class_without_inputs_has_no_bias():
    message = r"repair\.inputs: the 2 calibration inputs include none of class 2, so its bias cannot be fitted"
    with pytest.raises(StudyError, match=message):
        fitted_bias(np.zeros((2, 3)), np.array([0, 1]), np.full(2, 0.5))


def test_biases_of_certain_answers_are_those_of_the_surgery():
    """No calibration input is near the decision: many biases have the same cross-entropy."""
    labels = np.arange(200) % 2
    for scale in (10, 20, 30, 60):
        logits = np.random.default_rng(scale).normal(size=(200, 2)) + scale * np.eye(2)[labels]
        each = shares(labels, "balanced")
        assert fitted_bias(logits, labels, each) == pytest.approx(by_surgery(logits, labels, each), abs=1e-5)


@given(st.integers(0, 99), st.integers(1, 60))
def test_the_draw_has_an_input_of_each_class(seed, count):
    labels = np.append(np.zeros(50, int), [1, 2, 3])
    chosen = drawn(labels, count, "balanced", np.random.default_rng(seed))
    plain = drawn(labels, count, "equal", np.random.default_rng(seed))
    assert len(plain) == min(count, 53) and len(set(chosen)) == len(chosen) <= max(count, 4) + 3
    assert set(labels[chosen]) == {0, 1, 2, 3} and set(plain) <= set(chosen)


LAYERS = [
    nn.Conv2d(4, 3, 3, padding=1),
    nn.Conv2d(4, 6, 3, stride=2, padding=(2, 0), dilation=2, groups=2),
    nn.Conv2d(4, 2, (1, 4), padding="same", padding_mode="circular", bias=False),
    nn.Conv2d(4, 2, 5, padding=2, padding_mode="reflect"),
]


@pytest.mark.parametrize("module", LAYERS, ids=str)
def test_rows_of_a_convolution_give_its_outputs_at_their_positions(module):
    value = torch.randn(5, 4, 9, 8, dtype=torch.float64)
    outputs = module.double()(value).flatten(2)
    rows, chosen = list(rows_of("conv", module, value)), chosen_positions("conv", outputs.shape[2])
    assert len(rows) == len(set(chosen.tolist())) == min(POSITIONS, outputs.shape[2])
    weight = module.weight.flatten(1).chunk(module.groups)
    for row, position in zip(rows, chosen.tolist()):
        found = torch.cat([part @ own.T for part, own in zip(row.chunk(module.groups, 1), weight)], 1)
        found = found if module.bias is None else found + module.bias
        assert torch.allclose(found, outputs[:, :, position])


def test_rows_of_a_linear_layer_are_what_it_reads():
    flat, tokens = torch.randn(5, 4), torch.randn(5, 3, 4)
    (row,) = rows_of("head", nn.Linear(4, 2), flat)
    assert torch.equal(row, flat)
    assert torch.equal(torch.stack(list(rows_of("head", nn.Linear(4, 2), tokens)), 1), tokens)


class Branches(nn.Module):
    """Two readers of the channels of conv: a convolution without bias, a linear layer that also reads the images."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.inner = nn.Conv2d(4, 6, 3, bias=False)
        self.after = nn.BatchNorm2d(6)
        self.linear, self.head = nn.Linear(4 * 36 + 72, 5), nn.Linear(11, 3)

    def forward(self, x):
        maps = functional.relu(self.norm(self.conv(x)))
        read = functional.relu(self.after(self.inner(maps))).mean((2, 3))
        flat = self.linear(torch.cat([maps.flatten(1), x.flatten(1)], 1))
        return self.head(torch.cat([read, functional.relu(flat)], 1))


def branches() -> tuple[nn.Module, Split]:
    torch.manual_seed(0)
    model = Branches().eval()
    for module in (model.norm, model.after):
        module.running_mean.normal_(), module.running_var.uniform_(0.5, 2)
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (80, 2, 6, 6), dtype=np.uint8), np.arange(80) % 3
    return model, Split.of(pixels, np.arange(80)[:, None], labels, "cpu")


def test_the_statistics_are_those_of_what_the_readers_read():
    """Of all positions: there are no more than are chosen."""
    model, split = branches()
    layer, each = PrunableLayer(model, "conv", (2, 6, 6)), np.random.default_rng(1).dirichlet(np.ones(80))
    seen = {}
    for name in ("inner", "linear"):
        model.get_submodule(name).register_forward_pre_hook(lambda _, x, name=name: seen.update({name: x[0]}))
    ((inputs, _),) = split.batches(80)
    model(inputs)
    for path in seen:
        moments = Moments(layer, path, 4096)
        moments.add([seen[path].detach()], torch.from_numpy(each))
        reader, rows = moments.reader(), seen[path].detach().double()
        rows = functional.unfold(rows, 3).movedim(1, 2) if path == "inner" else rows[:, None]
        spread, rows = np.repeat(each, rows.shape[1]), rows.flatten(0, 1).numpy()
        assert reader.mean[:, 0] == pytest.approx(np.average(rows, axis=0, weights=spread))
        assert reader.covariance == pytest.approx(np.cov(rows.T, aweights=spread, ddof=0), abs=1e-9)
        positions, others = (9, 0) if path == "inner" else (36, 72)
        assert reader.channels.tolist() == [*np.repeat(np.arange(4), positions), *[-1] * others]


def evaluator(folder, model, path: str, test: Split, training: Split, most_inputs: int) -> Evaluator:
    """Write what an evaluator reads, with the files that repairs are fitted to, and read it."""
    shape = tuple(next(test.batches(1))[0].shape[1:])
    layer = PrunableLayer(model, path, shape)
    save_layer(folder / "layer.npy", describe(layer))
    inputs = {}
    for name, split in (("test", test), ("train", training)):
        files = [str(folder / f"{name}_{kind}.npy") for kind in ("images", "index", "labels")]
        for file, array in zip(files, (split.images, split.index, split.labels)):
            save_array(file, array.numpy())
        inputs[name] = InputFiles(*files)
    each = shares(training.labels.numpy(), "balanced")
    save_array(folder / "shares.npy", each)
    collect(layer, test, 5, folder)
    calibrate(layer, training, each, 5, folder / "calibration", most_inputs=most_inputs)
    measured = [str(folder / "calibration" / name) for name in ("moments.npy", "features.npy")]
    fitted_to = Calibration(*measured, inputs["train"].labels, str(folder / "shares.npy"), inputs["train"])
    saved, factory = folder / "model.pt", "" if isinstance(model, ConvNet) else f"{__file__}:Branches"
    save_model(saved, model) if not factory else save_model(saved, model, training.numbers, 0)
    files = (str(folder / name) for name in ("features.npy", "test_labels.npy", "layer.npy"))
    return Evaluator(*files, model=ModelFile(str(saved), factory), inputs=inputs["test"], calibration=fitted_to)


def built_in() -> tuple[nn.Module, Split, Split]:
    architecture = Architecture(in_channels=2, image_size=14, channels=[3, 5], kernel_size=3, hidden=[7], dropout=0.5)
    return random_network(architecture, 0), *(random_split(architecture, seed, 30, 90) for seed in (1, 2))


@pytest.mark.parametrize("most_inputs", [4096, 1])
@pytest.mark.parametrize("path", ["conv", "conv1", "conv2"])
def test_evaluations_are_those_of_the_network_with_the_fitted_weights(tmp_path, path, most_inputs):
    """In numpy (conv2) and torch. The weights of removed inputs are zero, so nothing needs to be removed for this."""
    model, test, training = (*branches(), branches()[1]) if path == "conv" else built_in()
    read = evaluator(tmp_path, model, path, test, training, most_inputs)
    assert read.layer.backend == ("numpy" if path == "conv2" else "torch")
    order = np.random.default_rng(3).permutation(read.layer.channels)
    for k in range(len(order)):
        changed = copy.deepcopy(model)
        for reader in load_readers(tmp_path / "calibration" / "moments.npy") if k else ():
            module = changed.get_submodule(reader.path)
            fitted, added = Refit(reader, order).fitted(k, module.weight.detach().flatten(1).T.double().numpy())
            module.weight.data = torch.from_numpy(fitted.T).float().reshape(module.weight.shape)
            bias = 0 if module.bias is None else module.bias.detach()
            module.bias = nn.Parameter((bias + torch.from_numpy(added)).float())
        expected, on_training = all_logits(changed, test), all_logits(changed, training)
        assert read.logits(order, [k], "structural+refit")[0] == pytest.approx(expected, abs=1e-4)
        bias = fitted_bias(on_training, training.labels.numpy(), read.fits.shares)
        assert read.logits(order, [k], "structural+refit_bias")[0] == pytest.approx(expected + bias, abs=1e-3)
    everything = read.logits(order, range(len(order)), "structural+refit_bias")
    for k, logits in enumerate(everything):
        assert np.array_equal(read.logits(order, [k], "structural+refit_bias", threads=2)[0], logits), "one K alone"


def test_a_bias_alone_moves_the_logits_of_every_network(tmp_path):
    model, test, training = built_in()
    read, order = evaluator(tmp_path, model, "conv2", test, training, 4096), np.arange(5)
    moved = read.logits(order, range(5), "structural+bias") - read.logits(order, range(5), "structural")
    assert moved == pytest.approx(np.broadcast_to(moved[:, :1], moved.shape), abs=1e-5)
    bias = fitted_bias(all_logits(model, training), training.labels.numpy(), read.fits.shares)
    assert moved[0, 0] == pytest.approx(bias, abs=1e-4)


@pytest.mark.parametrize("path", ["conv1", "conv2"])
def test_few_k_at_once_give_the_same_bytes(tmp_path, path, monkeypatch):
    """The refitted weights of all K may not fit in memory."""
    model, test, training = built_in()
    read = evaluator(tmp_path, model, path, test, training, 4096)
    order, channels = np.arange(read.layer.channels), range(read.layer.channels)
    whole = read.logits(order, channels, "structural+refit_bias")
    monkeypatch.setattr(torch_backend, "MOST_BYTES", 1)
    assert np.array_equal(read.logits(order, channels, "structural+refit_bias"), whole)


@pytest.mark.parametrize("stored", ["test", "train"])
def test_features_are_stored_of_one_split_alone(tmp_path, stored):
    """Each is stored if it is not too large."""
    model, test, training = built_in()
    layer, order = PrunableLayer(model, "conv1", (2, 14, 14)), np.arange(3)
    whole = evaluator(tmp_path, model, "conv1", test, training, 4096).logits(order, [1], "structural+refit_bias")
    folder = tmp_path if stored == "train" else tmp_path / "calibration"
    if stored == "train":
        collect(layer, test, 5, folder, 0)
    else:
        calibrate(layer, training, shares(training.labels.numpy(), "balanced"), 5, folder, 0)
    files = [str(tmp_path / name) for name in ("features.npy", "test_labels.npy", "layer.npy")]
    inputs = [
        InputFiles(*(str(tmp_path / f"{name}_{kind}.npy") for kind in ("images", "index", "labels")))
        for name in ("test", "train")
    ]
    measured = [str(tmp_path / "calibration" / name) for name in ("moments.npy", "features.npy")]
    fitted_to = Calibration(*measured, inputs[1].labels, str(tmp_path / "shares.npy"), inputs[1])
    read = Evaluator(*files, model=ModelFile(str(tmp_path / "model.pt")), inputs=inputs[0], calibration=fitted_to)
    assert read.logits(order, [1], "structural+refit_bias") == pytest.approx(whole, abs=1e-4)


class Scaled(nn.Conv2d):
    """A convolution with a method of its own."""

    def forward(self, x):
        return 2 * super().forward(x)


def test_a_readers_own_method_leaves_only_biases(tmp_path):
    model, split = branches()
    model.inner = Scaled(4, 6, 3).eval()
    layer = PrunableLayer(model, "conv", (2, 6, 6))
    calibrate(layer, split, shares(split.labels.numpy(), "balanced"), 5, tmp_path)
    assert len(load_array(tmp_path / "features.npy")) == len(split)
    message = (
        "the weights of inner, which reads the channels, cannot be refitted: it is a Scaled with methods of its own"
    )
    with pytest.raises(StudyError, match=message):
        load_readers(tmp_path / "moments.npy")


class Joined(nn.Module):
    """The two images of a pair run as two rows of a batch."""

    def __init__(self):
        super().__init__()
        self.conv, self.inner, self.head = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 5, 3), nn.Linear(5, 3)

    def forward(self, x):
        maps = self.inner(functional.relu(self.conv(torch.cat([x[:, :1], x[:, 1:]]))))
        one, other = maps.mean((2, 3)).chunk(2)
        return self.head(one * other)


def test_a_reader_of_several_rows_for_each_input_leaves_only_biases(tmp_path):
    torch.manual_seed(0)
    split = branches()[1]
    layer = PrunableLayer(Joined().eval(), "conv", (2, 6, 6))
    calibrate(layer, split, shares(split.labels.numpy(), "balanced"), 5, tmp_path)
    assert len(load_array(tmp_path / "features.npy")) == len(split)
    with pytest.raises(
        StudyError, match=r"of inner, which reads the channels, .* several rows of a batch for each input"
    ):
        load_readers(tmp_path / "moments.npy")
