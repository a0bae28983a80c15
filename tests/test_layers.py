"""Layers of networks of several shapes: their surroundings in the graph, against hooks, masks and Torch-Pruning."""

import copy

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
from test_channels import Network, conv
from torch import nn
from torch.nn import functional

SHAPE = (3, 12, 12)


def branches(net, x):
    """A residual block, a concatenation and a layer that other layers read twice."""
    x = functional.relu(net.first(x), inplace=True)
    x = x + net.second(x)
    x = functional.max_pool2d(torch.tanh(net.third(x)), 2)
    x = torch.cat([net.left(x), net.right(x)], 1)
    return net.head(functional.adaptive_avg_pool2d(x, 1).flatten(1))


def functions(net, x):
    """A depthwise convolution, and functions and methods in place of modules."""
    x = functional.pad(net.norm(net.depth(torch.relu_(net.first(x)))), (1, 1, 1, 1))
    x = net.hidden(torch.tanh(net.third(x)).mean((2, 3)))
    return net.head(functional.relu(x, inplace=True).view(x.size(0), -1))


def shared(net, x):
    """A convolution that runs twice."""
    return net.head(net.conv(net.conv(x)).mean((2, 3)))


def siamese(net, x):
    """Convolutions that run on both images of a pair; the batch size is read before them."""
    count = x.size(0)
    one, other = (net.mix(functional.relu(net.conv(each))) for each in (x, x.flip(3)))
    return net.head((one - other).abs().mean((2, 3)).view(count, -1))


def gates(net, x):
    """Squeeze-and-excitation: the maps of a convolution are multiplied by gates that are computed from them."""
    x = functional.silu(net.norm(net.first(x)))
    x = x * torch.sigmoid(net.excite(functional.relu(net.squeeze(functional.adaptive_avg_pool2d(x, 1)))))
    return net.head(torch.tanh(net.last(x)).amax((2, 3)))


def excitations(net, x):
    """Gates of channels as published code writes them, with sizes that are read from the maps."""

    def gate(i, y):
        return 2 * torch.sigmoid(net.excites[i](functional.leaky_relu(net.squeezes[i](2 * y))))

    x = functional.relu(net.norm(net.first(x)))
    b, c, _, _ = x.size()
    x = x * gate(0, functional.adaptive_avg_pool2d(x, 1).view(b, c)).view(b, c, 1, 1).expand_as(x)
    x = x * gate(1, x.mean((2, 3))).view(x.shape[0], x.shape[1], 1, 1)
    x = x * gate(2, x.amax((2, 3))).reshape(x.size(0), -1, 1, 1).expand(-1, -1, x.size(2), x.size(3))
    x = x * gate(3, functional.adaptive_avg_pool2d(x, 1).flatten(1))[:, :, None, None]
    return net.head(torch.tanh(net.last(x)).amax((2, 3)))


def skips(net, x):
    """A concatenation around a layer: the rest of the network reads more than the layers that read its channels."""
    x = functional.relu(net.first(x))
    return net.head(torch.cat([x, net.third(functional.relu(net.second(x)))], 1).amax((2, 3)))


def rearranged(net, x):
    """The layer that reads the channels gets them last."""
    return net.head(functional.gelu(net.mix(net.first(x).permute(0, 2, 3, 1))).mean((1, 2)))


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


TWICE = Network(shared, conv=conv(3, 3), head=nn.Linear(3, 2))
STEM = {"first": nn.Conv2d(3, 6, 3), "norm": nn.BatchNorm2d(6), "last": nn.Conv2d(6, 5, 3)}
# Networks, and the layers of them that can be pruned with their backends.
NETWORKS = {
    "plain": (plain(), {"0": "torch", "3": "numpy", "6": "numpy"}),
    "norms": (norms_everywhere(), {"0": "torch", "3": "torch", "9": "numpy"}),
    "linear": (hidden_only(), {"0": "numpy", "5": "numpy", "7": "numpy"}),
    "branches": (
        Network(
            branches,
            **{"first": conv(3, 4), "second": conv(4, 4), "third": nn.Conv2d(4, 6, 3)},
            **{"left": conv(6, 2, 1), "right": conv(6, 3), "head": nn.Linear(5, 3)},
        ),
        dict.fromkeys(["first", "second", "third", "left", "right"], "torch"),
    ),
    "functions": (
        Network(
            functions,
            **{"first": nn.Conv2d(3, 5, 3), "depth": nn.Conv2d(5, 5, 3, groups=5), "norm": nn.BatchNorm2d(5)},
            **{"third": nn.Conv2d(5, 6, 3), "hidden": nn.Linear(6, 7), "head": nn.Linear(7, 3)},
        ),
        {"first": "torch", "third": "torch", "hidden": "numpy"},
    ),
    "siamese": (
        Network(siamese, conv=nn.Conv2d(3, 4, 3), mix=conv(4, 5), head=nn.Linear(5, 2)),
        {"conv": "torch", "mix": "numpy"},
    ),
    "gates": (
        Network(gates, **STEM, squeeze=conv(6, 4, 1), excite=conv(4, 6, 1), head=nn.Linear(5, 3)),
        {"first": "torch", "squeeze": "torch", "excite": "torch", "last": "numpy"},
    ),
    "excitations": (
        Network(
            excitations,
            **STEM,
            squeezes=nn.ModuleList(nn.Linear(6, 3) for _ in range(4)),
            excites=nn.ModuleList(nn.Linear(3, 6) for _ in range(4)),
            head=nn.Linear(5, 3),
        ),
        dict.fromkeys(["first", "squeezes.1", "squeezes.3"], "torch"),
    ),
    "shared": (nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), TWICE), {"0": "torch", "2.conv": "torch"}),
    "rearranged": (
        Network(rearranged, first=conv(3, 4, 1), mix=nn.Linear(4, 5), head=nn.Linear(5, 2)),
        {"first": "torch", "mix": "numpy"},
    ),
    "skips": (
        Network(skips, first=conv(3, 4, 1), second=conv(4, 4, 1), third=conv(4, 5, 1), head=nn.Linear(9, 2)),
        {"first": "torch", "second": "torch", "third": "torch"},
    ),
}
LAYERS = [(name, layer) for name, (_, layers) in NETWORKS.items() for layer in layers]


def network(name: str, seed: int = 0) -> nn.Module:
    """Return a network with random weights and random running statistics, in evaluation mode."""
    torch.manual_seed(seed)
    model = copy.deepcopy(NETWORKS[name][0])
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
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


def test_values_that_are_not_stored_give_the_same_bytes(case, tmp_path):
    """In batches of the same size. One K gives the same bytes as all."""
    (model, layer, name), x = case, inputs(10)
    if name == "numpy":
        return
    order = np.random.default_rng(1).permutation(layer.channels)
    features, means = written(tmp_path, model, layer.path, x)
    empty, _ = written(tmp_path, model, layer.path, x, most=len(x) * 4 * features.shape[1] - 1)
    assert empty.shape == (10, 0)
    ks = range(layer.channels)
    stored = swept(layer, tmp_path, features, order, ks, means)
    assert np.array_equal(stored, swept(layer, tmp_path, empty, order, ks, means, x))
    assert np.array_equal(stored[1], swept(layer, tmp_path, features, order, [1], means)[0])
    with pytest.raises(StudyError, match=r"features\.npy has no values, so the inputs are needed"):
        swept(layer, tmp_path, empty, order, ks, means)


@pytest.mark.parametrize("centred", [False, True])
def test_effects_are_autograds_on_gates(case, centred, tmp_path):
    """The gates multiply the channels, or their deviations from the mean, wherever they are read, in the network."""
    (model, layer, name), x = case, inputs(9)
    gates = torch.ones(9, layer.channels, requires_grad=True)
    labels = torch.arange(9) % layer.classes
    features, means = written(tmp_path, model, layer.path, x)
    if name == "numpy":
        described = describe(layer)
        validation = ValidationSet(features, labels.numpy(), described, numpy_backend.Backend(described))
        effects = Losses(validation).effects(means if centred else None)
    else:
        with torch.no_grad():
            values = layer.crossing(x)
        effects = layer.downstream.effects(values, labels, torch.from_numpy(means) if centred else None)
    calls = iter(layer.downstream.readings)

    def hook(module, given):
        reading = next(calls)
        numbers = torch.from_numpy(reading.axis.numbers)
        own = torch.where(numbers[None] < 0, torch.ones(()), gates[:, numbers.clamp(min=0)])
        shape = [9, *[1] * (given[0].ndim - 1)]
        shape[reading.axis.dim] = len(numbers)
        mean = given[0].detach().mean(0) if centred else 0.0
        return (mean + (given[0] - mean) * own.reshape(shape),)

    for reader in layer.group.readers:
        model.get_submodule(reader).register_forward_pre_hook(hook)
    functional.cross_entropy(model(x), labels, reduction="sum").backward()
    assert effects == pytest.approx(gates.grad.numpy(), abs=1e-5)


def test_criteria_read_the_weights_and_scales_of_all_layers_of_a_group():
    """Of a sum of two convolutions, one of them normalised, that is normalised again."""

    def forward(net, x):
        return net.head(net.last(net.norm(net.one(x)) + net.other(x)).mean((2, 3)))

    modules = {"one": conv(3, 6), "other": conv(3, 6, 1), "norm": nn.BatchNorm2d(6), "last": nn.BatchNorm2d(6)}
    model = Network(forward, **modules, head=nn.Linear(6, 2))
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


def sized(net, x):
    """The network computes with the number of inputs, which it reads before the layer."""
    double = 2 * x.size(0)
    return net.head(net.conv(x).mean((2, 3))).reshape(double, 1).reshape(double // 2, 2)


def sequence(*layers):
    return nn.Sequential(nn.Conv2d(3, 4, 3), *layers, nn.Flatten(), nn.Linear(400, 2))


@pytest.mark.parametrize(
    ("model", "path", "message"),
    [
        (NETWORKS["plain"][0], "7", r"layer: 7 is a Sigmoid, not a Conv2d or Linear; allowed: last, 0, 3, 6, 9"),
        (NETWORKS["branches"][0], "thrid", r"layer: thrid is not in the network; nearest: third"),
        (
            NETWORKS["branches"][0],
            "zz",
            r"layer: zz is not in the network; nearest: first, second, third, left, right, head",
        ),
        (NETWORKS["plain"][0], "9", r"layer: 9 cannot be pruned: its channels reach the output of the network"),
        (sequence(nn.Softmax(1)), "0", r"layer: 0 cannot be pruned: 1 \(Softmax\) mixes channels"),
        (
            sequence(nn.Conv2d(4, 4, 1, groups=4)),
            "1",
            r"layer: 1 cannot be pruned: it is depthwise; its channels are those of 0 and",
        ),
        (sequence(nn.Flatten(0, 1), nn.Unflatten(0, (-1, 4))), "0", r"1 \(Flatten\)"),
        (TWICE, "conv", r"its channels can only be removed together with those of the network's input"),
        (
            Network(sized, conv=conv(3, 3), head=nn.Linear(3, 2)),
            "conv",
            r"layer: conv cannot be pruned: the network computes with the number of inputs",
        ),
        (nn.Sequential(nn.Flatten(), nn.Linear(432, 2)), "last", r"layer: last, but the network has no Conv2d"),
    ],
)
def test_what_cant_be_pruned_is_told_in_one_line(model, path, message):
    with pytest.raises(StudyError, match=message) as error:
        PrunableLayer(model.eval(), path, SHAPE)
    assert "\n" not in str(error.value)
