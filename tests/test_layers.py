"""Layers of networks of several shapes: their surroundings in the graph, against hooks, masks and Torch-Pruning."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from prunecurve.errors import StudyError
from prunecurve.sweep.activation_functions import ACTIVATIONS
from prunecurve.graph.description import describe
from prunecurve.graph.layer_file import load_layer, save_layer
from prunecurve.arrays import load_array
from prunecurve.graph.layers import PrunableLayer
from prunecurve.graph.points import POINTS
from prunecurve.ranking import criteria
from prunecurve.activations.collection import collect
from prunecurve.ranking.numpy_losses import Losses
from prunecurve.ranking.validation_set import ValidationSet
from prunecurve.sweep.backends import numpy_backend
from prunecurve.sweep.backends.torch_backend import Backend
from prunecurve.sweep.removal import REMOVALS
from prunecurve.verification.surgery import operated, size_of
from torch import nn
from torch.nn import functional

SHAPE = (3, 12, 12)


class Branches(nn.Module):
    """A residual block, a concatenation and a layer that other layers read twice."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.third = nn.Conv2d(4, 6, 3)
        self.left, self.right = nn.Conv2d(6, 2, 1), nn.Conv2d(6, 3, 3, padding=1)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        x = functional.relu(self.first(x), inplace=True)
        x = x + self.second(x)
        x = functional.max_pool2d(torch.tanh(self.third(x)), 2)
        x = torch.cat([self.left(x), self.right(x)], 1)
        return self.head(functional.adaptive_avg_pool2d(x, 1).flatten(1))


class Functions(nn.Module):
    """A depthwise convolution, and functions and methods in place of modules."""

    def __init__(self):
        super().__init__()
        self.first, self.depth, self.norm = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 5, 3, groups=5), nn.BatchNorm2d(5)
        self.third, self.hidden, self.head = nn.Conv2d(5, 6, 3), nn.Linear(6, 7), nn.Linear(7, 3)

    def forward(self, x):
        x = functional.pad(self.norm(self.depth(torch.relu_(self.first(x)))), (1, 1, 1, 1))
        x = self.hidden(torch.tanh(self.third(x)).mean((2, 3)))
        return self.head(functional.relu(x, inplace=True).view(x.size(0), -1))


class Shared(nn.Module):
    """A convolution that runs twice."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 2)

    def forward(self, x):
        return self.head(self.conv(self.conv(x)).mean((2, 3)))


class Siamese(nn.Module):
    """Convolutions that run on both images of a pair; the batch size is read before them."""

    def __init__(self):
        super().__init__()
        self.conv, self.mix, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3, padding=1), nn.Linear(5, 2)

    def one(self, x):
        return self.mix(functional.relu(self.conv(x)))

    def forward(self, x):
        count = x.size(0)
        x = (self.one(x) - self.one(x.flip(3))).abs()
        return self.head(x.mean((2, 3)).view(count, -1))


class Gates(nn.Module):
    """Squeeze-and-excitation: the maps of a convolution are multiplied by gates that are computed from them."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Conv2d(6, 5, 3)
        self.squeeze, self.excite, self.head = nn.Conv2d(6, 4, 1), nn.Conv2d(4, 6, 1), nn.Linear(5, 3)

    def forward(self, x):
        x = functional.silu(self.norm(self.first(x)))
        x = x * torch.sigmoid(self.excite(functional.relu(self.squeeze(functional.adaptive_avg_pool2d(x, 1)))))
        return self.head(torch.tanh(self.last(x)).amax((2, 3)))


class Excitations(nn.Module):
    """Gates of channels as published code writes them, with sizes that are read from the maps."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Conv2d(6, 5, 3)
        self.squeezes = nn.ModuleList(nn.Linear(6, 3) for _ in range(4))
        self.excites = nn.ModuleList(nn.Linear(3, 6) for _ in range(4))
        self.head = nn.Linear(5, 3)

    def gate(self, i, y):
        return 2 * torch.sigmoid(self.excites[i](functional.leaky_relu(self.squeezes[i](2 * y))))

    def forward(self, x):
        x = functional.relu(self.norm(self.first(x)))
        b, c, _, _ = x.size()
        x = x * self.gate(0, functional.adaptive_avg_pool2d(x, 1).view(b, c)).view(b, c, 1, 1).expand_as(x)
        x = x * self.gate(1, x.mean((2, 3))).view(x.shape[0], x.shape[1], 1, 1)
        x = x * self.gate(2, x.amax((2, 3))).reshape(x.size(0), -1, 1, 1).expand(-1, -1, x.size(2), x.size(3))
        x = x * self.gate(3, functional.adaptive_avg_pool2d(x, 1).flatten(1))[:, :, None, None]
        return self.head(torch.tanh(self.last(x)).amax((2, 3)))


class Skips(nn.Module):
    """A concatenation around a layer: the rest of the network reads more than the layers that read its channels."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
        self.third, self.head = nn.Conv2d(4, 5, 1), nn.Linear(9, 2)

    def forward(self, x):
        x = functional.relu(self.first(x))
        return self.head(torch.cat([x, self.third(functional.relu(self.second(x)))], 1).amax((2, 3)))


class Rearranged(nn.Module):
    """The layer that reads the channels gets them last."""

    def __init__(self):
        super().__init__()
        self.first, self.mix, self.head = nn.Conv2d(3, 4, 1), nn.Linear(4, 5), nn.Linear(5, 2)

    def forward(self, x):
        return self.head(functional.gelu(self.mix(self.first(x).permute(0, 2, 3, 1))).mean((1, 2)))


def plain():
    """Return a network without batch normalisation: average pooling with padding, tanh, a stride, no bias."""
    return nn.Sequential(
        *(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(inplace=True), nn.AvgPool2d(3, 2, padding=1)),
        *(nn.Conv2d(5, 6, 3, stride=2, bias=False), nn.Tanh(), nn.Flatten(), nn.Linear(24, 7), nn.Sigmoid()),
        *(nn.Dropout(0.3), nn.Linear(7, 4, bias=False)),
    )


def norms_everywhere():
    """Return a network with a normalisation after the activation, one of flattened maps, PReLU and LeakyReLU."""
    return nn.Sequential(
        *(nn.Conv2d(3, 5, 3, padding=1, padding_mode="circular"), nn.LeakyReLU(0.2), nn.BatchNorm2d(5)),
        *(nn.Conv2d(5, 6, 5, dilation=2), nn.BatchNorm2d(6), nn.PReLU(6), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.BatchNorm1d(24), nn.Linear(24, 8), nn.BatchNorm1d(8), nn.LeakyReLU(0.1), nn.Linear(8, 5)),
    )


def hidden_only():
    """Return a network in which only linear layers follow the convolution, with leaky ReLU and sigmoid."""
    return nn.Sequential(
        *(nn.Conv2d(3, 9, 3, stride=3), nn.BatchNorm2d(9), nn.Sigmoid(), nn.Flatten(), nn.Dropout(0.5)),
        *(nn.Linear(144, 10), nn.LeakyReLU(0.3), nn.Linear(10, 6), nn.Tanh(), nn.Linear(6, 3)),
    )


# Networks, and the layers of them that can be pruned with their backends.
NETWORKS = {
    "plain": (plain, {"0": "torch", "3": "numpy", "6": "numpy"}),
    "norms": (norms_everywhere, {"0": "torch", "3": "torch", "9": "numpy"}),
    "linear": (hidden_only, {"0": "numpy", "5": "numpy", "7": "numpy"}),
    "branches": (Branches, dict.fromkeys(["first", "second", "third", "left", "right"], "torch")),
    "functions": (Functions, {"first": "torch", "third": "torch", "hidden": "numpy"}),
    "siamese": (Siamese, {"conv": "torch", "mix": "numpy"}),
    "gates": (Gates, {"first": "torch", "squeeze": "torch", "excite": "torch", "last": "numpy"}),
    "excitations": (Excitations, dict.fromkeys(["first", "squeezes.1", "squeezes.3"], "torch")),
    "shared": (lambda: nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), Shared()), {"0": "torch", "2.conv": "torch"}),
    "rearranged": (Rearranged, {"first": "torch", "mix": "numpy"}),
    "skips": (Skips, {"first": "torch", "second": "torch", "third": "torch"}),
}
LAYERS = [(name, layer) for name, (_, layers) in NETWORKS.items() for layer in layers]


def network(name: str, seed: int = 0) -> nn.Module:
    """Return a network with random weights and random running statistics, in evaluation mode."""
    torch.manual_seed(seed)
    model = NETWORKS[name][0]()
    for key, tensor in model.state_dict().items():
        if key.endswith("running_var"):
            tensor.uniform_(0.2, 2.0)
        elif tensor.is_floating_point() and tensor.ndim == 1:
            tensor.normal_(0.3, 0.7)
    return model.eval()


def inputs(count: int = 6) -> torch.Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(3))


@pytest.fixture(params=LAYERS, ids="-".join)
def case(request):
    name, path = request.param
    model = network(name)
    return model, PrunableLayer(model, path, SHAPE), NETWORKS[name][1][path]


def passing(model: nn.Module, layer: PrunableLayer, x: torch.Tensor, change=None) -> tuple[list, np.ndarray]:
    """Run the network itself; return what the layers that read the channels get, call by call, and the logits.

    change: a function of the number of the call and what the layer gets, which returns what it gets instead.
    """
    seen = []

    def hook(module, given):
        seen.append(given[0].clone())
        return None if change is None else (change(len(seen) - 1, given[0].clone()),)

    hooks = [model.get_submodule(reader).register_forward_pre_hook(hook) for reader in layer.group.readers]
    with torch.inference_mode():
        found = model(x).numpy()
    for each in hooks:
        each.remove()
    return seen, found


def test_the_maps_are_those_that_the_readers_get(case):
    """Of a layer whose channels branch, pass additions or are joined with others, only what is measured before it."""
    model, layer, _ = case
    with torch.inference_mode():
        maps, (measured, _, read) = layer.maps(inputs()), layer.measure(inputs())
    seen, _ = passing(model, layer, inputs())
    assert torch.equal(read, torch.cat([value.flatten(1) for value in seen], 1))
    assert all(torch.equal(measured[point], maps[point]) for point in POINTS)
    if layer.downstream.readings[0].value in layer.points.chain:
        assert torch.equal(maps["pool"], layer.points.as_maps(seen[0], layer.downstream.readings[0].value))
    assert maps["pool"].shape == (6, layer.channels, *layer.points.map_shape)
    assert list(maps) == list(POINTS) and all(each.ndim == 4 for each in maps.values())


def test_the_points_are_the_outputs_of_the_modules():
    """In place, ReLU would overwrite the output of the convolution."""
    model = network("plain")
    layer = PrunableLayer(model, "0", SHAPE)
    with torch.inference_mode():
        maps, z = layer.maps(inputs()), model[0](inputs())
        assert torch.equal(maps["conv"], z) and torch.equal(maps["bn"], z)
        assert torch.equal(maps["relu"], z.clamp(min=0)) and (z < 0).any()
        assert torch.equal(maps["pool"], model[2](z.clamp(min=0)))
    model = network("norms")
    with torch.inference_mode():
        maps, z = PrunableLayer(model, "0", SHAPE).maps(inputs()), model[0](inputs())
        # The normalisation comes after the activation.
        assert torch.equal(maps["relu"], model[1](z)) and torch.equal(maps["bn"], model[2](model[1](z)))
        assert torch.equal(maps["pool"], maps["bn"])
        maps = PrunableLayer(model, "9", SHAPE).maps(inputs())
        assert maps["conv"].shape == (6, 8, 1, 1) and maps["relu"].shape == (6, 8, 1, 1)
    assert model[1](z).requires_grad is False and PrunableLayer(model, "last", SHAPE).path == "3"


def masked(model, layer, removed, replacement, x):
    """Return the logits of the network itself, with the replacement of removed channels where they are read."""

    def change(call, value):
        reading = layer.downstream.readings[call]
        constant = torch.as_tensor(replacement).flatten()[reading.place].reshape(1, *reading.shape).expand(value.shape)
        entries = torch.from_numpy(reading.axis.entries(removed))
        return value.index_copy(reading.axis.dim, entries, constant.index_select(reading.axis.dim, entries))

    return passing(model, layer, x, change)[1]


def written(folder, model, path, x, most=np.inf):
    """Write the files of a layer as the workflow does, for inputs x in one batch; return features and means."""
    layer = PrunableLayer(model, path, SHAPE)
    save_layer(folder / "layer.npy", describe(layer))
    collect(layer, Inputs(x), 100, folder, most)
    return load_array(folder / "features.npy"), load_array(folder / "mean_features.npy")


class Inputs:
    """A split whose inputs are given, in batches of 4."""

    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def batches(self, size):
        return ((part, None) for part in self.x.split(4))

    def inputs(self, numbers):
        return self.x[numbers]


def swept(layer, folder, features, order, ks, replacement, x=None):
    """Return the sweep's logits, from the file of the layer and the stored maps; without these, from inputs x."""
    stored = load_layer(folder / "layer.npy")
    if stored.backend == "numpy":
        return numpy_backend.Backend(stored).logits(features, order, ks, replacement)
    return backend(layer, x).logits(features, order, ks, replacement)


def backend(layer, x=None):
    """Return a backend of a network that is not in a file."""
    backend = object.__new__(Backend)
    backend.network, backend.batch = layer, 4
    backend.inputs = None
    if x is not None:
        backend.split = Inputs(x)
    return backend


@pytest.mark.parametrize("removal", REMOVALS)
def test_every_k_equals_masks_and_torch_pruning(case, removal, tmp_path):
    model, layer, name = case
    description, x = describe(layer), inputs()
    assert description.backend == name and description.classes == model(x).shape[1]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    order = np.random.default_rng(1).permutation(layer.channels)
    features, means = written(tmp_path, model, layer.path, x)
    seen = torch.cat([value.flatten(1) for value in passing(model, layer, x)[0]], 1)
    assert means.flatten() == pytest.approx(seen.mean(0).numpy(), abs=1e-6)
    replacement = REMOVALS[removal].replacement(description, means)
    ks = list(range(layer.channels))
    found = swept(layer, tmp_path, features, order, ks, replacement)
    for k in ks:
        removed = np.sort(order[:k])
        assert found[k] == pytest.approx(masked(model, layer, removed, replacement, x), abs=2e-5), k
        cut = operated(model, layer.path, removed, removal, x[:2], means)(x).detach().numpy()
        assert found[k] == pytest.approx(cut, abs=2e-5), k
        gone = k if REMOVALS[removal].shrinks else 0
        sizes = {"params": description.params[gone], "macs": description.macs[gone]}
        assert size_of(model, layer.path, removed, removal, x[:1]) == sizes
    assert np.abs(found[-1] - found[0]).max() > 1e-3
    # Surgery leaves the network as it is, and the file has its weights.
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert np.array_equal(load_layer(tmp_path / "layer.npy").weight, before[f"{layer.path}.weight"].numpy())


def test_a_scale_is_that_of_the_channels():
    model = network("linear")
    assert np.array_equal(describe(PrunableLayer(model, "0", SHAPE)).scale, model[1].weight.detach().numpy())
    assert describe(PrunableLayer(model, "5", SHAPE)).scale is None
    # Of flattened maps, each position has a scale; the first normalisation is that of the channels.
    model = network("norms")
    assert len(describe(PrunableLayer(model, "3", SHAPE)).scale) == 6


@pytest.mark.parametrize(("name", "path"), LAYERS)
def test_values_that_are_not_stored_give_the_same_bytes(name, path, tmp_path):
    """In batches of the same size. One K gives the same bytes as all."""
    model, x = network(name), inputs(10)
    layer = PrunableLayer(model, path, SHAPE)
    order = np.random.default_rng(1).permutation(layer.channels)
    features, means = written(tmp_path, model, path, x)
    if describe(layer).backend == "numpy":
        return
    empty, _ = written(tmp_path, model, path, x, most=len(x) * 4 * features.shape[1] - 1)
    assert empty.shape == (10, 0)
    ks = range(layer.channels)
    stored = swept(layer, tmp_path, features, order, ks, means)
    assert np.array_equal(stored, swept(layer, tmp_path, empty, order, ks, means, x))
    assert np.array_equal(stored[1], swept(layer, tmp_path, features, order, [1], means)[0])
    with pytest.raises(StudyError, match=r"features\.npy has no values, so the inputs are needed"):
        swept(layer, tmp_path, empty, order, ks, means)


@pytest.mark.parametrize(("name", "path"), [case for case in LAYERS if NETWORKS[case[0]][1][case[1]] == "torch"])
def test_effects_in_torch_are_autograds_on_gates(name, path):
    """The gates multiply the channels wherever they are read, in the network itself."""
    model, x = network(name), inputs(9)
    layer = PrunableLayer(model, path, SHAPE)
    gates = torch.ones(9, layer.channels, requires_grad=True)
    labels = torch.arange(9) % layer.classes
    calls = iter(layer.downstream.readings)

    def hook(module, given):
        reading = next(calls)
        numbers = torch.from_numpy(reading.axis.numbers)
        own = torch.where(numbers[None] < 0, torch.ones(()), gates[:, numbers.clamp(min=0)])
        shape = [9, *[1] * (given[0].ndim - 1)]
        shape[reading.axis.dim] = len(numbers)
        return (given[0] * own.reshape(shape),)

    for reader in layer.group.readers:
        model.get_submodule(reader).register_forward_pre_hook(hook)
    functional.cross_entropy(model(x), labels, reduction="sum").backward()
    with torch.no_grad():
        values = layer.crossing(x)
    layer.traced.requires_grad_(False)
    assert layer.downstream.effects(values, labels) == pytest.approx(gates.grad.numpy(), abs=1e-5)


class Sum(nn.Module):
    """A sum of two convolutions, one of them normalised, that is normalised again."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(3, 6, 1)
        self.norm, self.last, self.head = nn.BatchNorm2d(6), nn.BatchNorm2d(6), nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.last(self.norm(self.one(x)) + self.other(x)).mean((2, 3)))


def test_criteria_read_the_weights_and_scales_of_all_layers_of_a_group():
    torch.manual_seed(0)
    model = Sum().eval()
    for norm in (model.norm, model.last):
        nn.init.normal_(norm.weight)
    described = describe(PrunableLayer(model, "other", SHAPE))
    layer = criteria.Layer(described.filters, described.scale, np.random.default_rng(0))
    filters = torch.cat([model.one.weight.flatten(1), model.other.weight.flatten(1)], 1).detach().numpy()
    assert criteria.scores("l1_norm", layer) == pytest.approx(np.abs(filters).sum(1), rel=1e-5)
    assert criteria.scores("l2_norm", layer) == pytest.approx(np.linalg.norm(filters, axis=1), rel=1e-5)
    distances = [np.linalg.norm(filters - one, axis=1).sum() for one in filters]
    assert criteria.scores("fpgm", layer) == pytest.approx(distances, rel=1e-5)
    scale = model.norm.weight.abs() + model.last.weight.abs()
    assert criteria.scores("bn_scale", layer) == pytest.approx(scale.detach().numpy(), rel=1e-6)


@given(st.sampled_from(sorted(ACTIVATIONS)), st.integers(0, 2**31), st.sampled_from([0.01, 0.3]))
def test_activations_and_their_derivatives_are_those_of_torch(name, seed, slope):
    x = np.random.default_rng(seed).normal(0, 4, (5, 3)).astype(np.float32)
    given_ = torch.from_numpy(x.copy()).requires_grad_()
    own = {"identity": lambda x: x * 1, "leaky_relu": lambda x: functional.leaky_relu(x, slope)}
    expected = own.get(name, getattr(torch, name, None))(given_)
    expected.sum().backward()
    for out in (np.empty_like(x), x):
        y = ACTIVATIONS[name].function(x.copy() if out is not x else x, out, slope)
        assert y == pytest.approx(expected.detach().numpy(), abs=1e-6)
    assert ACTIVATIONS[name].derivative(y, slope) == pytest.approx(given_.grad.numpy(), abs=1e-6)


@pytest.mark.parametrize(("name", "path"), [("plain", "3"), ("linear", "0"), ("linear", "5"), ("linear", "7")])
def test_effects_are_autograds_for_any_classes_and_activations(name, path):
    model = network(name)
    layer, x = PrunableLayer(model, path, SHAPE), inputs(40)
    labels = torch.arange(40) % layer.classes
    gates = torch.ones(40, layer.channels, 1, 1, requires_grad=True)
    with torch.no_grad():
        maps, described = layer.maps(x)["pool"], describe(layer)
    output = layer.downstream.logits([(maps * gates).flatten(1)], [])
    functional.cross_entropy(output, labels, reduction="sum").backward()
    losses = Losses(ValidationSet(maps.numpy(), labels.numpy(), described, numpy_backend.Backend(described)))
    assert losses.effects() == pytest.approx(gates.grad[:, :, 0, 0].numpy(), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "path"),
    [("plain", "3"), ("branches", "third"), ("linear", "0"), ("branches", "second"), ("gates", "first")],
)
def test_losses_of_several_classes_are_balanced(name, path, tmp_path):
    """Four and three classes of different sizes, in numpy and in torch, against scikit-learn on masked passes."""
    from prunecurve.ranking import torch_losses
    from sklearn.metrics import log_loss

    model = network(name)
    layer, x = PrunableLayer(model, path, SHAPE), inputs(40)
    labels = np.minimum(np.arange(40) // 5, layer.classes - 1)
    features, _ = written(tmp_path, model, path, x)
    described = describe(layer)
    runs = backend(layer) if described.backend == "torch" else numpy_backend.Backend(described)
    validation = ValidationSet(features, labels, described, runs)
    assert np.bincount(labels, validation.shares) == pytest.approx(np.full(layer.classes, 1 / layer.classes))
    weights = 1 / np.bincount(labels)[labels]
    zeros = np.zeros_like(validation.layer.zero_filter)

    def expected(removed):
        probability = torch.softmax(torch.from_numpy(masked(model, layer, removed, zeros, x)).double(), 1).numpy()
        return log_loss(labels, probability, sample_weight=weights, labels=range(layer.classes))

    module = torch_losses.Losses if validation.layer.backend == "torch" else Losses
    losses, everything = module(validation), np.arange(layer.channels)
    assert losses.now() == pytest.approx(expected([]), abs=1e-6)
    losses.change(1)
    assert losses.changed(losses.left) == pytest.approx([expected([1, c]) for c in losses.left], abs=1e-6)
    ends = losses.along(everything[None])[0, [0, -1]]
    assert ends == pytest.approx([expected([]), expected(everything)], abs=1e-6)


# ---- what cannot be pruned


class Sized(Shared):
    """The network computes with the number of inputs, which it reads before the layer."""

    def forward(self, x):
        double = 2 * x.size(0)
        return self.head(self.conv(x).mean((2, 3))).reshape(double, 1).reshape(double // 2, 2)


def sequence(*layers):
    return nn.Sequential(nn.Conv2d(3, 4, 3), *layers, nn.Flatten(), nn.LazyLinear(2)).eval()


def built(model):
    with torch.no_grad():
        model(torch.zeros(2, *SHAPE))
    return model


@pytest.mark.parametrize(
    ("model", "path", "message"),
    [
        (plain, "7", r"layer: 7 is a Sigmoid, not a Conv2d or Linear; allowed: last, 0, 3, 6, 9"),
        (Branches, "thrid", r"layer: thrid is not in the network; nearest: third"),
        (Branches, "zz", r"layer: zz is not in the network; nearest: first, second, third, left, right, head"),
        (plain, "9", r"layer: 9 cannot be pruned: its channels reach the output of the network"),
        (lambda: sequence(nn.Softmax(1)), "0", r"layer: 0 cannot be pruned: 1 \(Softmax\) mixes channels"),
        (
            lambda: sequence(nn.Conv2d(4, 4, 1, groups=4)),
            "1",
            r"layer: 1 cannot be pruned: it is depthwise; its channels are those of 0 and",
        ),
        (lambda: sequence(nn.Flatten(0, 1), nn.Unflatten(0, (-1, 4))), "0", r"1 \(Flatten\)"),
        (Shared, "conv", r"its channels can only be removed together with those of the network's input"),
        (Sized, "conv", r"layer: conv cannot be pruned: the network computes with the number of inputs"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(432, 2)), "last", r"layer: last, but the network has no Conv2d"),
    ],
)
def test_what_cant_be_pruned_is_told_in_one_line(model, path, message):
    model = model()
    if any(isinstance(module, nn.LazyLinear) for module in model.modules()):
        model = built(model)
    with pytest.raises(StudyError, match=message) as error:
        PrunableLayer(model, path, SHAPE)
    assert "\n" not in str(error.value)
