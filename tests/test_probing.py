"""What operations do with channels, against an oracle: the network itself, with values of channels changed."""

import copy
import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prunecurve.graph.channels import Channels
from prunecurve.graph.description import scale
from prunecurve.graph.layer_table import layer_table
from prunecurve.graph.layers import NotPrunable, PrunableLayer
from prunecurve.graph.pruning import pruned
from prunecurve.verification import PERTURBATION, SURGERY
from prunecurve.verification.confirmation import Confirmation
from prunecurve.verification.perturbation import Perturbation
from test_channels import Network, conv
from torch import Tensor, nn
from torch.nn import functional

SHAPE = (3, 8, 8)


def between(operation, **modules: nn.Module) -> Network:
    """Return a network of the convolution `first` with 4 channels, an operation, the convolution `last`, and a head."""
    torch.manual_seed(0)

    def forward(net, x):
        return net.head(torch.relu(net.last(operation(net, net.first(x)))).mean((2, 3)))

    return Network(forward, first=conv(3, 4), last=conv(4, 6), head=nn.Linear(6, 3), **modules)


@torch.fx.wrap
def swish(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


@torch.fx.wrap
def normalised(x: Tensor) -> Tensor:
    return x / x.norm(dim=1, keepdim=True)


@torch.fx.wrap
def relu(x: Tensor) -> Tensor:
    """Not the function of torch of this name."""
    return x.clamp(0, 0.3)


class Scale(nn.Module):
    def __init__(self, channels: int, start: float = 1e-6) -> None:
        super().__init__()
        self.scale = nn.Parameter(start * torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale.view(1, -1, 1, 1)


class NormAct(nn.BatchNorm2d):
    """As batch normalisation in timm: it activates, too."""

    def forward(self, x: Tensor) -> Tensor:
        x = functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.1, self.eps)
        return functional.silu(x)


class OwnInit(nn.Conv2d):
    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.kaiming_normal_(self.weight)


class SamePadding(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(functional.pad(x, (1, 1, 1, 1)), self.weight, self.bias)


class Standardised(nn.Conv2d):
    """Each filter is standardised over its inputs: without one input, the other weights change."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return functional.conv2d(x, weight, self.bias, padding=1)


def own_batch_norm(net: Network, x: Tensor) -> Tensor:
    norm = net.norm
    return functional.batch_norm(x, norm.mean, norm.variance, norm.weight.abs() + 0.1, None)


class Statistics(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.linspace(-1, 1, 4))
        self.register_buffer("variance", torch.linspace(1, 2, 4))
        self.weight = nn.Parameter(torch.linspace(1, 2, 4))


class Grid(nn.Module):
    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.grid = nn.Parameter(torch.rand(*shape, generator=torch.Generator().manual_seed(3)))


# Operations on each channel alone, that no table has.
ALONE = {
    "own function": between(lambda net, x: swish(x)),
    "own function of a known name": between(lambda net, x: relu(x)),
    "variance by hand": between(
        lambda net, x: x * ((x - x.mean((2, 3), keepdim=True)) ** 2).mean((2, 3), keepdim=True)
    ),
    "instance normalisation": between(lambda net, x: net.norm(x), norm=nn.InstanceNorm2d(4, affine=True)),
    "scale": between(lambda net, x: net.scale(x), scale=Scale(4)),
    "scale of zeros": between(lambda net, x: x + net.scale(x), scale=Scale(4, 0.0)),
    "one scale": between(lambda net, x: net.scale(x), scale=Scale(1, 0.5)),
    "position": between(lambda net, x: x + net.place.grid, place=Grid(1, 1, 8, 8)),
    "position and channel": between(lambda net, x: x + net.place.grid, place=Grid(1, 4, 8, 8)),
    "prelu by function": between(lambda net, x: functional.prelu(x, net.act.weight), act=nn.PReLU(4)),
    "norm and activation": between(lambda net, x: net.norm(x), norm=NormAct(4)),
    "own batch norm": between(own_batch_norm, norm=Statistics()),
    "sorted maps": between(lambda net, x: x.flatten(2).sort(2)[0].view(x.shape)),
    "where": between(lambda net, x: torch.where(x > 0, x, x * 0.1)),
    "half of the depthwise": between(
        lambda net, x: net.deep(x), deep=nn.Conv2d(4, 4, 3, padding=1, groups=4, padding_mode="reflect")
    ),
    "spatial gate": between(lambda net, x: x * torch.sigmoid(net.mask(x)), mask=nn.Conv2d(4, 1, 1)),
    "blur": between(
        lambda net, x: functional.conv2d(x, net.blur.grid, padding=1, groups=x.shape[1]), blur=Grid(4, 1, 3, 3)
    ),
    "roll": between(lambda net, x: x.roll(1, 1)),
    "stack and mean": between(lambda net, x: torch.stack([x, x], 0).mean(0)),
}
# Networks with two layers, both listed.
LAYERS = {
    "own initialisation": between(lambda net, x: net.more(x), more=OwnInit(4, 4, 3, padding=1)),
    "same padding": between(lambda net, x: net.more(x), more=SamePadding(4, 4, 3)),
}


def zeros_where_read(model: nn.Module, path: str, removed: list[int]) -> nn.Module:
    """Zeros in the inputs that a change of these channels reaches."""
    masked, items = copy.deepcopy(model), Perturbation(model, torch.zeros(1, *SHAPE)).items(path, removed)
    for name, reads, numbers in items:
        if reads:
            hook = _zeros(numbers, -1 if isinstance(masked.get_submodule(name), nn.Linear) else 1)
            masked.get_submodule(name).register_forward_pre_hook(hook)
    return masked


def _zeros(numbers: list[int], dim: int):
    return lambda module, given: (given[0].index_fill(dim, torch.tensor(numbers), 0.0),)


@torch.no_grad()
def require_the_oracle(model: nn.Module, path: str) -> None:
    """The smaller network gives the logits of zeros at the entries that are found by changing channels."""
    labels = Channels(model, SHAPE)
    assert labels.refusal(path) is None
    group, removed = labels.group(path), list(range(0, len(model.get_submodule(path).weight), 2))
    images = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(1))
    cut = pruned(labels.module, group, np.setdiff1d(np.arange(group.channels), removed))(images)
    expected, whole = zeros_where_read(model, path, removed)(images), model(images)
    assert torch.allclose(cut, expected, atol=1e-5) and not torch.allclose(whole, expected, atol=1e-4)


@pytest.mark.parametrize("name", ALONE)
def test_an_operation_on_each_channel_alone_is_no_obstacle(name):
    model = copy.deepcopy(ALONE[name])
    assert Channels(model, SHAPE).refusal("first") is None, "whatever the parameters start with"
    for parameter in model.parameters():
        # A scale of almost zero would hide what is removed.
        if parameter.detach().abs().max() < 1e-3:
            parameter.data += torch.linspace(1, 2, parameter.numel())
    require_the_oracle(model, "first")


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("path", ["first", "more"])
def test_layers_of_own_classes_are_layers(name, path):
    require_the_oracle(LAYERS[name], path)


def test_a_layer_that_computes_with_all_inputs_stops_those_before_it_alone():
    model = between(lambda net, x: net.more(x), more=Standardised(4, 4, 3))
    rows = {row["layer"]: row for row in layer_table(model, SHAPE)}
    assert rows["first"]["refused"] == "more (Standardised) is not linear in each of its inputs alone"
    assert rows["more"]["refused"] == ""
    require_the_oracle(model, "more")


def test_parameters_with_entries_for_channels_are_cut_with_them():
    group = Channels(ALONE["position and channel"], SHAPE).group("first")
    assert {path: numbers.shape for path, numbers in group.parameters.items()} == {"place.grid": (1, 4, 8, 8)}
    small = pruned(ALONE["position and channel"], group, np.array([1, 3]))
    assert torch.equal(small.place.grid, ALONE["position and channel"].place.grid[:, [1, 3]])


def test_a_normalisation_that_activates_is_measured_at_both_points():
    model = copy.deepcopy(ALONE["norm and activation"])
    with torch.no_grad():
        model.norm.bias.copy_(torch.tensor([-1.0, 0.0, 1.0, 2.0]))
    layer = PrunableLayer(model, "first", SHAPE)
    maps, images = {}, torch.randn(2, *SHAPE)
    with torch.inference_mode():
        maps, before = layer.maps(images), model.first(images)
    scaled = (before - model.norm.running_mean[:, None, None]) / (model.norm.running_var[:, None, None] + 1e-5).sqrt()
    expected = scaled * model.norm.weight[:, None, None] + model.norm.bias[:, None, None]
    assert torch.allclose(maps["bn"], expected, atol=1e-6)
    assert torch.allclose(maps["relu"], functional.silu(expected), atol=1e-6)
    assert scale(layer) == pytest.approx(model.norm.weight.detach().numpy())


# ---- random networks


STEPS = {
    "residual": lambda net, x: x + net.body(torch.relu(x)),
    "gate": lambda net, x: x * torch.sigmoid(net.gate(x.mean((2, 3), keepdim=True))),
    "mask": lambda net, x: x * torch.sigmoid(net.mask(x)),
    "swish": lambda net, x: swish(x),
    "scale": lambda net, x: net.scale(x),
    "norm": lambda net, x: net.norm(x),
    "slice": lambda net, x: torch.cat([x[:, 2:], x[:, :2]], 1),
    "chunk": lambda net, x: torch.cat([net.part(x.chunk(2, 1)[0]), x.chunk(2, 1)[1]], 1),
    "softmax": lambda net, x: torch.softmax(x, 1),
    "mean": lambda net, x: x - x.mean(1, keepdim=True),
    "group norm": lambda net, x: net.groups(x),
    "layer": lambda net, x: torch.relu(net.other(x)),
    "flip": lambda net, x: x.flip(1),
    "tokens": lambda net, x: net.token(x.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, (8, 8)),
}


def _modules() -> dict[str, nn.Module]:
    torch.manual_seed(1)
    return {
        **{name: nn.Conv2d(4, 4, 3, padding=1) for name in ("body", "other")},
        "gate": nn.Conv2d(4, 4, 1),
        "mask": nn.Conv2d(4, 1, 1),
        "part": nn.Conv2d(2, 2, 1),
        "scale": Scale(4, 0.7),
        "norm": nn.BatchNorm2d(4),
        "groups": nn.GroupNorm(2, 4),
        "token": nn.Linear(4, 4),
    }


# Each once: a module with parameters per channel that runs twice ties channels that the oracle does not connect.
@given(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=4, unique=True))
@settings(max_examples=25, deadline=None)
def test_what_is_listed_in_random_networks_agrees_with_the_oracle(steps):
    """Random operations on one stream of channels, with joins and slices."""
    model = between(lambda net, x: functools.reduce(lambda x, step: STEPS[step](net, x), steps, x), **_modules())
    for row in layer_table(model, SHAPE):
        if not row["refused"] and row["channels"] > 1:
            require_the_oracle(model, row["layer"])


def test_a_normalisation_that_runs_twice_ties_the_channels_of_both_calls():
    """One smaller module cannot keep other channels in each call."""
    model = between(lambda net, x: net.norm(net.other(torch.relu(net.norm(x)))), **_modules())
    group = Channels(model, SHAPE).group("first")
    assert list(group.makers) == ["first", "other"] and list(group.followers) == ["norm"]
    assert group.makers["other"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("step", ["swish", "residual", "gate", "mask", "scale", "norm", "layer", "flip", "tokens"])
def test_these_steps_are_no_obstacle(step):
    """Otherwise the test above could pass because nothing is listed."""
    model = between(lambda net, x: STEPS[step](net, x), **_modules())
    assert {row["layer"]: row["refused"] for row in layer_table(model, SHAPE)}["first"] == ""


# ---- the verification of what is listed


def test_what_torch_pruning_cuts_wrongly_is_verified_by_perturbation():
    model = between(lambda net, x: torch.relu(net.other(x)) * torch.sigmoid(net.mask(x)), **_modules())
    confirmation = Confirmation(model, SHAPE)
    assert confirmation.by(PrunableLayer(model, "other", SHAPE)) == PERTURBATION
    assert confirmation.by(PrunableLayer(model, "last", SHAPE)) == SURGERY


def test_after_it_the_network_of_the_confirmation_is_as_before():
    model = between(lambda net, x: net.norm(x + net.body(torch.relu(x))), **_modules())
    confirmation, images = Confirmation(model, SHAPE), torch.randn(2, *SHAPE)
    for path in ("first", "last", "body", "first"):
        assert confirmation.by(PrunableLayer(model, path, SHAPE)) == SURGERY
    with torch.inference_mode():
        assert torch.equal(confirmation._model(images), model(images))


def test_a_wrong_smaller_network_is_not_confirmed(monkeypatch):
    """Not the channels that the others removed."""
    model = between(lambda net, x: torch.relu(x))
    images = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(
        "prunecurve.verification.confirmation.run_pruned",
        lambda traced, group, kept, values: pruned(traced, group, np.array([0, 1]))(images),
    )
    with pytest.raises(NotPrunable, match=r"its removal cannot be verified .*its smaller network gives different log"):
        Confirmation(model, SHAPE).by(PrunableLayer(model, "first", SHAPE))


def test_the_entries_of_a_perturbation():
    model = between(lambda net, x: x + net.body(torch.relu(x)), **_modules())
    items = Perturbation(model, torch.zeros(1, *SHAPE)).items("first", [1, 3])
    assert {(path, reads): numbers for path, reads, numbers in items} == {
        ("first", False): [1, 3],
        ("body", False): [1, 3],
        ("body", True): [1, 3],
        ("last", True): [1, 3],
    }
