"""Channels that can only be removed together: against Torch-Pruning, and in networks whose channels are known."""

import copy
import re

import numpy as np
import pytest
import torch
import torch_pruning
from prunecurve.data.datasets.published import torchvision_datasets
from prunecurve.errors import StudyError
from prunecurve.graph.channels import Channels
from prunecurve.graph.description import describe
from prunecurve.graph.layers import NotPrunable, PrunableLayer
from prunecurve.graph.pruning import pruned
from prunecurve.graph.tracing import traced_network
from torch import nn
from torch.nn import functional
from torch.nn.utils.prune import l1_unstructured

# Networks of torchvision with the size of their inputs, and how many of their layers can be pruned.
TORCHVISION = {
    "resnet18": (64, 20),
    "vgg11_bn": (32, 10),
    "mobilenet_v2": (64, 35),
    "mobilenet_v3_small": (64, 42),
    "squeezenet1_1": (64, 25),
    "densenet121": (64, 120),
    "resnext50_32x4d": (64, 21),
    "regnet_y_400mf": (64, 37),
    "efficientnet_b0": (64, 65),
    "googlenet": (64, 57),
    "inception_v3": (96, 94),
    "mnasnet0_5": (64, 35),
    "alexnet": (64, 7),
}


def randomised(model: nn.Module) -> nn.Module:
    """Return a network in evaluation mode whose normalisations are not trivial."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            if module.affine:
                module.weight.data.uniform_(0.5, 1.5, generator=generator)
                module.bias.data.normal_(0, 0.3, generator=generator)
    return model.eval()


def from_torchvision(name: str) -> nn.Module:
    torchvision_datasets()
    import torchvision.models

    torch.manual_seed(0)
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return randomised(torchvision.models.get_model(name, weights=None, **options))


def labels_of(model: nn.Module, size: int, channels: int = 3) -> Channels:
    return Channels(model, (channels, size, size))


def prunable_layers(model: nn.Module, labels: Channels) -> list[str]:
    layers = [path for path, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    return [path for path in layers if labels.refusal(path) is None]


def graph_of(model: nn.Module, size: int) -> torch_pruning.DependencyGraph:
    example = torch.zeros(1, 3, size, size)
    return torch_pruning.DependencyGraph().build_dependency(model, example_inputs=example)


def group_of(graph: torch_pruning.DependencyGraph, module: nn.Module, removed: list[int]):
    prune = torch_pruning.prune_linear_out_channels
    if isinstance(module, nn.Conv2d):
        prune = torch_pruning.prune_conv_out_channels
    return graph.get_pruning_group(module, prune, idxs=removed)


def entries(graph, group, names: dict[nn.Module, str]) -> dict[tuple[str, str], set[int]]:
    """Return what Torch-Pruning removes: for each module the numbers of its outputs and of its inputs."""
    found: dict[tuple[str, str], set[int]] = {}
    for item in group:
        module = item.dep.target.module
        if module in names:
            depthwise = isinstance(module, nn.Conv2d) and module.groups > 1
            reads = graph.is_in_channel_pruning_fn(item.dep.handler) and not depthwise
            if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d):
                side = "inputs" if reads and not isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) else "outputs"
                found.setdefault((names[module], side), set()).update(item.idxs)
    return found


def our_entries(labels: Channels, path: str, removed: list[int]) -> dict[tuple[str, str], set[int]]:
    group = labels.group(path)
    found: dict[tuple[str, str], set[int]] = {}
    for side, parts in (("outputs", (group.makers, group.followers)), ("inputs", (group.readers,))):
        for part in parts:
            for name, numbers in part.items():
                if chosen := set(np.flatnonzero(np.isin(numbers, removed)).tolist()):
                    found[name, side] = chosen
    return found


@pytest.mark.parametrize("name", TORCHVISION)
def test_the_same_weights_as_torch_pruning_in_every_layer(name):
    size, count = TORCHVISION[name]
    model = from_torchvision(name)
    labels, graph = labels_of(model, size), graph_of(model, size)
    names = {module: path for path, module in model.named_modules()}
    prunable = prunable_layers(model, labels)
    assert len(prunable) == count
    for path in prunable:
        group = group_of(graph, model.get_submodule(path), [0, 2])
        assert our_entries(labels, path, [0, 2]) == entries(graph, group, names), path


def assert_same_logits(model: nn.Module, labels: Channels, path: str, images: torch.Tensor) -> None:
    """Half of the channels of a layer are removed, by our code and by Torch-Pruning. This changes the logits."""
    group = labels.group(path)
    removed = list(range(0, group.channels, 2))
    theirs = copy.deepcopy(model).requires_grad_()
    group_of(graph_of(theirs, images.shape[-1]), theirs.get_submodule(path), removed).prune()
    ours = pruned(model, group, np.setdiff1d(np.arange(group.channels), removed))
    with torch.inference_mode():
        cut, expected, whole = ours(images), theirs(images), model(images)
    # The convolution behind may be computed in another order.
    effect = (whole - expected).abs().max()
    assert (cut - expected).abs().max() <= 1e-3 * effect and effect > 0


class Network(nn.Module):
    """A network of modules given by name, and a function (network, images) → logits."""

    def __init__(self, forward, **modules: nn.Module) -> None:
        super().__init__()
        self.function = forward
        for name, module in modules.items():
            self.add_module(name, module)
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self, x)


def conv(inputs: int, outputs: int, size: int = 3, **options) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, **options)


def pooled(x: torch.Tensor) -> torch.Tensor:
    return x.mean((2, 3))


def residual():
    def forward(net, x):
        x = torch.relu(net.first(x))
        x += net.norm(net.second(torch.relu(x)))
        return net.head(pooled(torch.relu_(x)))

    return Network(forward, first=conv(3, 6), second=conv(6, 6), norm=nn.BatchNorm2d(6), head=nn.Linear(6, 4))


def concatenation():
    def forward(net, x):
        x = torch.cat([net.left(x), torch.tanh(net.right(x))], 1)
        return net.head(torch.sigmoid(net.last(x)).flatten(1))

    modules = {"left": conv(3, 4), "right": conv(3, 5), "last": conv(9, 2, stride=4), "head": nn.Linear(8, 3)}
    return Network(forward, **modules)


def squeeze_and_excitation():
    def forward(net, x):
        x = net.first(x)
        batch, channels, _, _ = x.size()
        gate = torch.relu(net.squeeze(pooled(x).view(batch, channels)))
        gate = torch.sigmoid(net.excite(gate)).view(batch, channels, 1, 1)
        return net.head(functional.adaptive_avg_pool2d(x * gate, 1).view(x.size(0), -1))

    modules = {"first": conv(3, 6), "squeeze": nn.Linear(6, 5), "excite": nn.Linear(5, 6), "head": nn.Linear(6, 4)}
    return Network(forward, **modules)


def used_twice():
    def forward(net, x):
        x = net.shared(torch.relu(net.first(x)))
        return net.head(pooled(torch.relu(net.shared(torch.relu(x)))))

    return Network(forward, first=conv(3, 6), shared=conv(6, 6), head=nn.Linear(6, 4))


def siamese():
    def forward(net, x):
        one, other = (pooled(torch.relu(net.conv(each))) for each in (x, x.flip(3)))
        return net.head(torch.cat([net.hidden(one), net.hidden(other)], 1))

    return Network(forward, conv=conv(3, 6), hidden=nn.Linear(6, 5), head=nn.Linear(10, 4))


def depthwise():
    def forward(net, x):
        x = net.norm(net.depth(net.first(x)))
        return net.head(net.last(functional.hardswish(x, inplace=True)).flatten(1))

    modules = {"first": conv(3, 6), "depth": conv(6, 6, groups=6), "norm": nn.BatchNorm2d(6)}
    return Network(forward, **modules, last=conv(6, 5, stride=4), head=nn.Linear(20, 4))


# For each network: the groups of its layers, each with the layers that compute, follow and read the channels.
GROUPS = {
    residual: {
        "first": ("first second", "norm", "second head"),
        "second": ("first second", "norm", "second head"),
    },
    concatenation: {"left": ("left", "", "last"), "right": ("right", "", "last"), "last": ("last", "", "head")},
    squeeze_and_excitation: {
        "first": ("first excite", "", "squeeze head"),
        "squeeze": ("squeeze", "", "excite"),
        "excite": ("first excite", "", "squeeze head"),
    },
    used_twice: {"first": ("first shared", "", "shared head"), "shared": ("first shared", "", "shared head")},
    siamese: {"conv": ("conv", "", "hidden"), "hidden": ("hidden", "", "head")},
    depthwise: {"first": ("first", "depth norm", "last"), "last": ("last", "", "head")},
}


@pytest.mark.parametrize("build", GROUPS, ids=lambda build: build.__name__)
def test_the_groups_of_small_networks(build):
    torch.manual_seed(0)
    model = randomised(build())
    labels = labels_of(model, 8)
    images = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    found = {path: labels.group(path) for path in prunable_layers(model, labels)}
    assert {
        path: tuple(
            " ".join(sorted(part, key=names.split().index)) for part, names in zip(group[1:], GROUPS[build][path])
        )
        for path, group in found.items()
    } == GROUPS[build]
    assert labels.refusal("head") == "its channels reach the output of the network"
    for path in found:
        # Torch-Pruning does not know that a module that is used twice is one module.
        if build not in (used_twice, siamese):
            assert_same_logits(model, labels, path, images)


def test_the_features_of_a_flattened_channel_belong_to_it():
    labels = labels_of(randomised(depthwise()), 8)
    assert labels.group("last").readers["head"].tolist() == [c for c in range(5) for _ in range(4)]
    labels = labels_of(concatenation(), 8)
    assert labels.group("right").readers["last"].tolist() == [-1] * 4 + list(range(5))


def through(operation, **modules: nn.Module):
    """Return a network with an operation between the convolution `first` (8 channels) and the rest."""

    def forward(net, x):
        return net.head(pooled(net.last(operation(net, net.first(x)))))

    return Network(forward, first=conv(3, 8), last=conv(8, 6), head=nn.Linear(6, 4), **modules)


@torch.fx.wrap
def halves(x):
    """The first four channels are treated in another way."""
    return torch.cat([x[:, :4] * 2, x[:, 4:]], 1)


def shuffled(net, x):
    batch, channels, height, width = x.size()
    return x.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(batch, channels, height, width)


MIXES = "mixes channels"
COMPUTES = "computes with the number of channels, or has a constant for each of them"
DIVIDES = "divides its channels or fixes their number; flatten(1) does not"
REFUSED = {
    "GroupNorm": (through(lambda net, x: net.norm(x), norm=nn.GroupNorm(4, 8)), f"norm (GroupNorm) {MIXES}"),
    "LayerNorm": (through(lambda net, x: net.norm(x), norm=nn.LayerNorm([8, 8, 8])), f"norm (LayerNorm) {MIXES}"),
    "softmax": (through(lambda net, x: torch.softmax(x, 1)), f"softmax {MIXES}"),
    "Softmax": (through(lambda net, x: net.share(x), share=nn.Softmax(1)), f"share (Softmax) {MIXES}"),
    "shuffle": (through(shuffled), f"view {DIVIDES}"),
    "PixelShuffle": (
        through(lambda net, x: net.grow(torch.cat([net.up(x), x], 1)), up=conv(8, 24), grow=nn.PixelShuffle(2)),
        f"grow (PixelShuffle) {DIVIDES}",
    ),
    "grouped": (
        through(lambda net, x: net.groups(x), groups=conv(8, 8, groups=2)),
        "groups (Conv2d): it is a grouped convolution",
    ),
    "fixed": (through(lambda net, x: x.view(-1, 8, 64).mean(2).view(-1, 8, 1, 1)), f"view {DIVIDES}"),
    "slice": (through(lambda net, x: torch.cat([x[:, 4:], x[:, :4]], 1)), f"getitem {DIVIDES}"),
    "chunk": (through(lambda net, x: torch.cat(x.chunk(2, 1), 1)), f"chunk {DIVIDES}"),
    "mean": (through(lambda net, x: x - x.mean(1, keepdim=True)), f"mean {MIXES}"),
    "sort": (through(lambda net, x: x.sort(1)[0]), f"sort {MIXES}"),
    "weights of channels": (
        through(lambda net, x: x * (torch.arange(x.size(1)) + 1).view(1, -1, 1, 1)),
        f"mul {COMPUTES}",
    ),
    "cumulative": (through(lambda net, x: x.cumsum(1)), f"cumsum {MIXES}"),
    "own function": (through(lambda net, x: halves(x)), f"halves {COMPUTES}"),
    "expanded": (
        through(lambda net, x: x * net.gate(x.mean((2, 3), keepdim=True)).expand(-1, 8, 8, 8), gate=conv(8, 8)),
        f"expand {DIVIDES}",
    ),
    "positions": (
        through(lambda net, x: net.rows(x), rows=nn.Linear(8, 8)),
        "rows (Linear) works on positions of the maps and not on channels",
    ),
}


def computed(change):
    """Return a network with a convolution whose weights are computed from others."""
    model = through(lambda net, x: x)
    # Without gradients, because otherwise the network could not be copied.
    with torch.no_grad():
        model.first = change(model.first)
    return model


FIXED = "divides its channels or fixes their number"
# Networks, and why the channels of their layer `first` cannot be removed.
MISLEADING = {
    "divided by their number": (through(lambda net, x: x / x.size(1)), f"truediv {COMPUTES}"),
    "maps of their number": (
        through(lambda net, x: functional.interpolate(x, size=(x.size(1), x.size(1)))),
        f"interpolate ({COMPUTES}|{FIXED})",
    ),
    "rows of their number": (through(lambda net, x: x[:, :, : x.size(1)]), f"getitem {FIXED}"),
    "squeeze": (
        through(
            lambda net, x: net.gate(functional.adaptive_avg_pool2d(x, 1).squeeze())[..., None, None] * x,
            gate=nn.Linear(8, 8),
        ),
        f"squeeze {FIXED}",
    ),
    "slice of copies": (through(lambda net, x: torch.cat([x, -x], 1)[:, :8]), f"getitem {FIXED}"),
    "split": (through(lambda net, x: x.split([8], 1)[0]), f"split {FIXED}"),
    "moved by padding": (through(lambda net, x: functional.pad(x, (0, 0, 0, 0, 1, -1))), f"pad {MIXES}"),
    "weights": (through(lambda net, x: x * net.first.weight.abs().sum()), "the network also reads first.weight"),
    "constant": (
        Network(
            lambda net, x: net.head(pooled(net.first(x))) + net.head(net.first.bias),
            first=conv(3, 6),
            head=nn.Linear(6, 4),
        ),
        "also runs on a constant|the network also reads first.bias",
    ),
    "parametrization": (computed(nn.utils.parametrizations.weight_norm), "it has parametrizations"),
    "old spectral_norm": (computed(nn.utils.spectral_norm), "it has hooks"),
    "masked": (computed(lambda module: l1_unstructured(module, "weight", 0.5)), "it has hooks"),
    "scalar": (through(lambda net, x: x / x.flatten(1).max(1)[0][:, None, None, None]), f"max {MIXES}"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_channels_that_cannot_be_removed_one_by_one_are_refused_with_the_operation(name):
    model, reason = REFUSED[name]
    labels = labels_of(model.eval(), 8)
    assert labels.refusal("first") == reason
    assert labels.refusal("last") is None, "the operation does not concern the layer behind it"


@pytest.mark.parametrize("name", MISLEADING)
def test_channels_that_look_independent_and_are_not_are_refused(name):
    model, reason = MISLEADING[name]
    assert re.match(reason, labels_of(model.eval(), 8).refusal("first"))


def test_operations_on_positions_alone_are_no_reason_to_refuse():
    def rearranged(net, x):
        x = functional.interpolate(functional.pad(x, (1, 1, 1, 1)), scale_factor=2)
        x = torch.softmax(x.flatten(2), 2).clamp(0, 1).permute(0, 2, 1)
        return net.mix(x[:, 1:]).transpose(1, 2).unsqueeze(3) / 2

    model = through(rearranged, mix=nn.Linear(8, 8))
    labels = labels_of(model, 8)
    assert labels.refusal("first") is None and labels.refusal("mix") is None
    assert list(labels.group("first").readers) == ["mix"] and list(labels.group("mix").readers) == ["last"]
    assert_same_logits(model, labels, "first", torch.randn(2, 3, 8, 8))


def test_an_operation_in_place_changes_the_value_for_all_later_ones():
    """The graph without them gives the same logits, and leaves its values as they are."""

    def forward(net, x):
        x = net.first(x)
        kept = x
        functional.relu(x, inplace=True)
        x.add_(1)
        x.mul_(net.act(x))
        count = 1
        count += x.size(1)
        return net.head(pooled(kept) * count)

    model = Network(forward, first=conv(3, 6), act=nn.Hardtanh(1.1, 2.5, inplace=True), head=nn.Linear(6, 4))
    images = torch.randn(2, 3, 8, 8)
    traced = traced_network(model, (3, 8, 8))
    values = {}

    class Watching(torch.fx.Interpreter):
        def run_node(self, node):
            values[node] = super().run_node(node)
            copies[node] = values[node].clone() if isinstance(values[node], torch.Tensor) else None
            return values[node]

    copies = {}
    with torch.inference_mode():
        assert torch.equal(Watching(traced).run(images), model(images))
    assert all(torch.equal(values[node], copy) for node, copy in copies.items() if copy is not None)


def other_name(net, x):
    x = kept = net.first(x)
    x += 1
    return net.head(pooled(kept))


def standardised(net, x):
    x = net.first(x)
    return net.head(pooled(x - x.mean(0, keepdim=True)))


def by_type(net, x):
    """While it is traced, its input is not a tensor."""
    return net.head(pooled(net.first(x if isinstance(x, torch.Tensor) else x["image"])))


def fixed_batch(net, x):
    return net.head(pooled(net.first(x)).view(2, 6))


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (other_name, "network: its traced graph gives different results.* x = x \\+ y"),
        (
            standardised,
            "an input alone gives different logits than together with others, as with batch normalisation",
        ),
        (
            by_type,
            r"traced graph fails, although the network itself runs \(.*; leave the module .* network\.leaf_modules",
        ),
        (fixed_batch, r"cannot read a single input .*; the number of inputs must not be fixed, as in x.view\(64"),
    ],
)
def test_a_graph_that_is_not_the_network_is_refused(forward, message):
    with pytest.raises(StudyError, match=message):
        traced_network(Network(forward, first=conv(3, 6), head=nn.Linear(6, 4)), (3, 8, 8))


def test_the_number_of_channels_in_a_later_operation_is_seen_in_the_smaller_network():
    """The operation that computes with it reads no channel of the layer."""
    model = through(lambda net, x: x)
    model.function = lambda net, x: net.head(pooled(net.last(x := net.first(x))) / x.size(1))
    with pytest.raises(NotPrunable, match="the network computes with the number of channels"):
        describe(PrunableLayer(model, "first", (3, 8, 8)))


def batch_size_first(net, x):
    batch = x.size(0)
    return net.head(torch.relu(net.last(torch.relu(net.first(x)))).mean(axis=(2, 3)).view(batch, -1))


def one_activation(net, x):
    x = net.first(x)
    x = x + net.last(net.act(x))
    return net.head(pooled(net.act(x)))


def two_layers(net, x):
    return net.head(pooled(net.first(x)))


def coordinates(net, x):
    return net.head(pooled(net.last(torch.cat([net.first(x), net.place.expand(x.size(0), 1, 8, 8)], 1))))


ALLOWED = {
    "one channel": (Network(two_layers, first=conv(3, 1), head=nn.Linear(1, 4)), "first"),
    "one logit": (Network(two_layers, first=conv(3, 5), head=nn.Linear(5, 1)), "first"),
    "a method's name": (
        Network(lambda net, x: net.mean(net.first(x).mean((2, 3))), first=conv(3, 5), mean=nn.Linear(5, 4)),
        "first",
    ),
    "coordinates": (Network(coordinates, first=conv(3, 5), last=conv(6, 7), head=nn.Linear(7, 4)), "last"),
    "batch size": (Network(batch_size_first, first=conv(3, 8), last=conv(8, 6), head=nn.Linear(6, 4)), "first"),
    "flattened twice": (through(lambda net, x: x.flatten(2).unsqueeze(2)), "first"),
    "transposed maps": (through(lambda net, x: x.transpose(2, 3)), "first"),
    "lstm": (
        through(
            lambda net, x: x * 2 + 0 * net.lstm(net.other(x).flatten(2))[0].mean((1, 2))[:, None, None, None],
            lstm=nn.LSTM(64, 5, batch_first=True),
            other=conv(8, 4),
        ),
        None,
    ),
}
ALLOWED["coordinates"][0].place = nn.Parameter(torch.rand(1, 1, 8, 8))


@pytest.mark.parametrize("name", ALLOWED)
def test_unusual_networks_are_no_error(name):
    """The maps are those that the layer behind reads."""
    model, path = ALLOWED[name]
    labels = labels_of(model.eval(), 8)
    assert all(isinstance(labels.refusal(layer), str | None) for layer in ("first", "head", "nothing"))
    if path is None:
        return
    layer, seen = PrunableLayer(model, path, (3, 8, 8)), []
    images = torch.randn(2, 3, 8, 8)
    for reader in layer.group.readers:
        model.get_submodule(reader).register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    with torch.inference_mode():
        model(images)
        maps = layer.maps(images)["pool"]
    assert torch.equal(maps.flatten(1), seen[0].flatten(1))
    assert maps.shape[2:] == layer.points.map_shape or seen[0].ndim == 2


def test_one_module_in_place_that_runs_twice():
    model = Network(one_activation, first=conv(3, 6), act=nn.ReLU(inplace=True), last=conv(6, 6), head=nn.Linear(6, 4))
    labels = labels_of(model.eval(), 8)
    assert labels.refusal("first") is None and set(labels.group("first").makers) == {"first", "last"}
