"""Smaller networks with repaired readers, against least squares written out here and the verification of the sweep."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from prunecurve.data.batches import Split, all_logits
from prunecurve.repair.networks import Repairs, fit, kept_outputs, with_bias
from prunecurve.sweep.repair import RIDGE, shares
from prunecurve.verification import repairs as verification
from prunecurve.verification.surgery import structural
from test_layers import SHAPE, network
from test_repair import branches, built_in
from torch import nn
from torch.nn import functional


@given(st.integers(0, 10**6), st.integers(2, 30), st.integers(1, 12))
def test_a_fit_is_the_least_squares_fit(seed, rows, columns):
    """With fewer rows than columns, too; the ridge is rows of their own."""
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((rows, columns)).astype(np.float32), rng.standard_normal((rows, 3)).astype(np.float32)
    weight, each, ridge = rng.standard_normal((columns, 3)), rng.dirichlet(np.ones(rows)), rng.uniform(1e-3, 1)
    fitted, bias = fit(x, y, each, weight, ridge)
    mean_x, mean_y, roots = each @ x, each @ y, np.sqrt(each)[:, None]
    left = np.vstack([roots * (x - mean_x), np.sqrt(ridge) * np.eye(columns)])
    right = np.vstack([roots * (y - mean_y), np.sqrt(ridge) * weight])
    expected = np.linalg.lstsq(left, right, rcond=None)[0]
    assert fitted == pytest.approx(expected, abs=1e-6)
    assert bias == pytest.approx(mean_y - mean_x @ expected, abs=1e-6)


def test_a_fit_to_constant_inputs_keeps_the_weights():
    weight = np.ones((2, 3))
    fitted, bias = fit(np.full((9, 2), 0.1, np.float32), np.ones((9, 3), np.float32), np.full(9, 1 / 9), weight, 1.0)
    assert np.array_equal(fitted, weight) and bias == pytest.approx(np.full(3, 0.8))


class Chain(nn.Module):
    """Three layers whose channels are removed, one after the other, a sum, and a layer that loses no inputs, `head`.

    in_place: whether activations overwrite what a layer computed.
    """

    def __init__(self, in_place=False):
        super().__init__()
        self.first, self.norm = nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.second, self.third = nn.Conv2d(6, 5, 3, bias=False), nn.Conv2d(5, 5, 1)
        self.hidden, self.head, self.relu = nn.Linear(5 * 9, 7), nn.Linear(7, 3), nn.ReLU(in_place)

    def forward(self, x):
        x = self.relu(self.second(self.relu(self.norm(self.first(x)))))
        return self.head(self.relu(self.hidden((x + self.relu(self.third(x))).flatten(1))))


def chained(in_place: bool = False) -> tuple[nn.Module, Split, np.ndarray]:
    torch.manual_seed(0)
    model, rng = Chain(in_place).eval(), np.random.default_rng(0)
    model.norm.running_mean.normal_(), model.norm.running_var.uniform_(0.5, 2)
    pixels, labels = rng.integers(0, 256, (60, 2, 5, 5), np.uint8), np.arange(60) % 3
    return model, Split.of(pixels, np.arange(60)[:, None], labels, "cpu"), shares(labels, "balanced")


@pytest.mark.parametrize("repair", ["none", "bias", "refit", "refit_bias"])
@pytest.mark.parametrize("path", ["first", "conv1", "conv2"])
def test_without_channels_of_one_layer_it_is_the_network_of_the_verification(path, repair):
    if path.startswith("conv"):
        model, test, calibration = built_in()
    else:
        model, test, calibration = *chained()[:2], chained()[1]
    own, removed = shares(calibration.labels.numpy(), "balanced"), np.array([0, 2])
    before = all_logits(model, test)
    small = Repairs(model, calibration, own).smaller({path: removed}, repair, all_behind=False)
    assert np.array_equal(all_logits(model, test), before), "the unpruned network stays as it is"
    expected = verification.Repairs(model, path, calibration, "balanced").repaired(removed, repair)
    assert all_logits(small, test) == pytest.approx(all_logits(expected, test), abs=1e-4)
    assert len(small.get_submodule(path).weight) == len(model.get_submodule(path).weight) - 2


def test_readers_are_fitted_one_after_the_other():
    """Of all positions: there are no more than are chosen."""
    (model, calibration, each), removed = chained(), {"first": np.array([0, 2]), "second": np.array([0])}
    small = Repairs(model, calibration, each).smaller(removed, "refit")
    (images, _), *_ = calibration.batches(60)
    expected = structural(model, removed, images[:1])
    kept = {"second": [1, 2, 3, 4], "third": [1, 2, 3, 4], "hidden": [*range(7)], "head": [*range(3)]}
    read = {path: getattr(model, path).weight.shape for path in kept}
    assert small.head.weight.shape == read["head"] and small.hidden.weight.shape != read["hidden"]
    for path, outputs in kept.items():
        reader, seen = expected.get_submodule(path), {}
        for name, each_network in (("small", expected), ("whole", model)):
            hook = each_network.get_submodule(path).register_forward_hook(
                lambda module, x, y, name=name, seen=seen: seen.update({name: (x[0].detach(), y.detach())})
            )
            each_network(images), hook.remove()
        (x, _), (whole, y) = seen["small"], seen["whole"]
        if path in ("second", "third"):
            size = reader.kernel_size
            x, whole = (functional.unfold(values, size).mT.flatten(0, 1) for values in (x, whole))
            y = y.flatten(2).mT.flatten(0, 1)
        x, whole, y = x.double().numpy(), whole.double().numpy(), y[:, outputs].double().numpy()
        own = np.repeat(each, len(x) // 60) / (len(x) // 60)
        ridge = RIDGE * np.diag(np.cov(whole.T, aweights=own, ddof=0)).mean()
        roots, (mean_x, mean_y) = np.sqrt(own)[:, None], (own @ x, own @ y)
        weight = reader.weight.detach().flatten(1).T.double().numpy()
        left = np.vstack([roots * (x - mean_x), np.sqrt(ridge) * np.eye(x.shape[1])])
        fitted = np.linalg.lstsq(left, np.vstack([roots * (y - mean_y), np.sqrt(ridge) * weight]), rcond=None)[0]
        reader.weight.data = torch.from_numpy(fitted.T).float().reshape(reader.weight.shape)
        reader.bias = nn.Parameter(torch.from_numpy(mean_y - mean_x @ fitted).float())
    logits = all_logits(small, calibration)
    assert logits.std(axis=0).min() > 1e-3, "the channels that are left are not dead"
    assert logits == pytest.approx(all_logits(expected, calibration), abs=1e-4)
    assert logits != pytest.approx(all_logits(structural(model, removed, images[:1]), calibration), abs=1e-3)
    # Without `head`, what it reads would have changed and its weights would not.
    assert not torch.equal(small.head.weight, model.head.weight)
    alone = Repairs(model, calibration, each).smaller(removed, "refit", all_behind=False)
    assert torch.equal(alone.head.weight, model.head.weight)


def test_activations_that_work_in_place_change_nothing():
    (model, calibration, each), removed = chained(), {"first": np.array([0, 2]), "second": np.array([0])}
    in_place = chained(in_place=True)[0]
    in_place.load_state_dict(model.state_dict())
    expected = all_logits(Repairs(model, calibration, each).smaller(removed, "refit_bias"), calibration)
    found = all_logits(Repairs(in_place, calibration, each).smaller(removed, "refit_bias"), calibration)
    assert found == pytest.approx(expected, abs=1e-6)


class Joined(nn.Module):
    """The two images of a pair run as two rows of a batch; two layers share their weights."""

    def __init__(self):
        super().__init__()
        self.conv, self.second = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3)
        self.left, self.right = nn.Linear(4, 3), nn.Linear(4, 3)
        self.right.weight = self.left.weight

    def forward(self, x):
        maps = functional.relu(self.second(functional.relu(self.conv(torch.cat([x[:, :1], x[:, 1:]])))))
        one, other = maps.mean((2, 3)).chunk(2)
        return self.left(one) + self.right(other)


def test_layers_that_cannot_be_refitted_keep_their_weights():
    torch.manual_seed(0)
    model, (_, calibration, each) = Joined().eval(), chained()
    small = Repairs(model, calibration, each).smaller({"conv": np.array([1])}, "refit")
    assert torch.equal(small.second.weight, model.second.weight[:, [0, 2, 3]])
    assert torch.equal(small.left.weight, model.left.weight)


@pytest.mark.parametrize("name", ["branches", "functions", "gates", "shared", "siamese", "skips", "norms", "plain"])
def test_the_kept_outputs_are_those_that_torch_pruning_keeps(name):
    """Its own biases, or running means, say which: each is a number of its own."""
    model = network(name)
    example, layer = torch.zeros(1, *SHAPE), next(n for n, m in model.named_modules() if isinstance(m, nn.Conv2d))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.bias = nn.Parameter(torch.arange(len(module.weight)).float() + 0.5)
    kept = kept_outputs(model, {layer: np.array([0, 2])}, example)
    small = structural(model, {layer: np.array([0, 2])}, example)
    assert np.array_equal(kept[layer], np.setdiff1d(np.arange(len(model.get_submodule(layer).weight)), [0, 2]))
    for path, numbers in kept.items():
        assert np.array_equal(small.get_submodule(path).bias.detach().numpy() - 0.5, numbers)


def test_nothing_is_fitted_in_front_of_the_first_removed_channel():
    model, _, calibration = built_in()
    own = shares(calibration.labels.numpy(), "equal")
    small = Repairs(model, calibration, own).smaller({"conv2": np.array([1])}, "refit")
    assert torch.equal(small.get_submodule("conv1").weight, model.get_submodule("conv1").weight)
    whole = Repairs(model, calibration, own).smaller({}, "refit")
    assert all(torch.equal(*pair) for pair in zip(whole.parameters(), model.parameters()))


def test_biases_belong_to_the_last_linear_layer_if_it_computes_the_logits():
    example, bias = torch.rand(1, 2, 6, 6), torch.tensor([0.0, 1.0, -2.0])
    model, _ = branches()
    scaled = nn.Sequential(copy.deepcopy(model), nn.Hardtanh(-9, 9))
    moved = with_bias(copy.deepcopy(model), bias, example)
    assert torch.allclose(moved(example), model(example) + bias) and type(moved) is type(model)
    assert torch.allclose(with_bias(scaled, bias, example)(example), model(example) + bias)

    class Twice(nn.Module):
        """Its layer runs twice, and its second logits are those of the network."""

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x):
            return self.layer(self.layer(x[:, 0, 0, :3]))

    twice = Twice()
    assert torch.allclose(with_bias(copy.deepcopy(twice), bias, example)(example), twice(example) + bias)
