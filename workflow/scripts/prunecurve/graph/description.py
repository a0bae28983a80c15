"""Describe a layer for the jobs without torch: its weights, its size without channels, and what follows it."""

import math

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from prunecurve.graph.checks import require_exact_pruning, zero_filter
from prunecurve.graph.layer_file import LayerFile, Linear
from prunecurve.graph.layers import PrunableLayer
from prunecurve.graph.operations import NORMS, UNCHANGED, UNCHANGED_MODULES, calls

# The activations that numpy computes: torch's modules, and its functions and methods.
MODULES: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.LeakyReLU: "leaky_relu",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
}
FUNCTIONS = {
    getattr(home, name): name for name in MODULES.values() for home in (torch, functional) if hasattr(home, name)
} | {name: name for name in ("relu", "tanh", "sigmoid")}
# Torch's default slope of leaky_relu below zero.
SLOPE = 0.01


@torch.no_grad()
def describe(layer: PrunableLayer) -> LayerFile:
    """Return the content of `layer.npy`. Raises StudyError if the layer cannot be removed channel by channel."""
    require_exact_pruning(layer)
    linears = linear_layers(layer)
    params, macs = sizes(layer)
    zero = _array(zero_filter(layer))
    return LayerFile(
        name=layer.path,
        backend="torch" if linears is None else "numpy",
        classes=layer.classes,
        weight=_array(layer.module.weight),
        group_weights=weights(layer) if len(layer.group.makers) > 1 else np.zeros((layer.channels, 0), np.float32),
        scale=scale(layer),
        features=features_shape(layer, linears),
        zero_filter=zero if linears is None else zero.reshape(layer.channels, *layer.points.map_shape),
        map_size=tuple(layer.maps(layer.example())["relu"].shape[2:]),
        params=params,
        macs=macs,
        signed=layer.points.signed,
        linears=linears or (),
    )


def weights(layer: PrunableLayer) -> np.ndarray:
    """Return all weights that compute the channels, one row (P, ·) per channel, of all makers side by side."""
    sides = []
    for path, numbers in layer.group.makers.items():
        weight = layer.traced.get_submodule(path).weight.detach().cpu().flatten(1).numpy()
        order = np.argsort(numbers, kind="stable")[(numbers < 0).sum() :]
        # Most layers compute each channel once. A layer may compute only some of them; the other rows are zero.
        counts = np.bincount(numbers[order], minlength=layer.channels)
        places = np.concatenate([np.arange(count) for count in counts])
        side = np.zeros((layer.channels, counts.max(), weight.shape[1]), np.float32)
        side[numbers[order], places] = weight[order]
        sides.append(side.reshape(layer.channels, -1))
    return np.concatenate(sides, 1)


def scale(layer: PrunableLayer) -> np.ndarray | None:
    """Return the scale γ (P,) of the batch normalisation of the channels; the sum of |γ| if there are several.

    None if there is no batch normalisation. That of flattened maps has a γ per position, not per channel.
    """
    scales = []
    for path, numbers in layer.group.followers.items():
        module = layer.traced.get_submodule(path)
        own = np.flatnonzero(numbers >= 0)
        once = len(set(numbers[own])) == len(own)
        if isinstance(module, NORMS) and module.weight is not None and once:
            scales.append(np.zeros(layer.channels, np.float32))
            scales[-1][numbers[own]] = module.weight.detach().cpu().numpy()[own]
    return None if not scales else scales[0] if len(scales) == 1 else np.abs(scales).sum(0)


def features_shape(layer: PrunableLayer, linears: tuple[Linear, ...] | None) -> tuple[int, ...]:
    """Return the shape of one input in features.npy, see `LayerFile`, given the linear layers behind a layer."""
    if linears is not None:
        return layer.channels, *layer.points.map_shape
    return (sum(map(math.prod, layer.downstream.shapes())) if layer.downstream.storable() else 0,)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().contiguous().numpy()


def linear_layers(layer: PrunableLayer) -> tuple[Linear, ...] | None:
    """Return the linear layers behind a layer, if nothing else but activations, dropout and flatten follows it.

    None if anything else follows: another kind of layer, several readers, an activation that numpy does not compute, or
    two activations in a row.
    """
    downstream, end = layer.downstream, layer.points.chain[-1]
    first = downstream.readings[0]
    if len(downstream.readings) > 1 or downstream.crossing != [end] or first.value is not end or len(first.shape) > 1:
        return None
    linears: list[Linear] = []
    for node in downstream.module.graph.nodes:
        if node.op == "output":
            break
        if len(node.users) != 1 or len(node.all_input_nodes) > 1:
            return None
        if calls(downstream.module, node, (nn.Linear,)):
            module = downstream.module.get_submodule(node.target)
            bias = np.zeros(len(module.weight), np.float32) if module.bias is None else _array(module.bias)
            linears.append(Linear(_array(module.weight), bias, "identity", 0.0))
        elif calls(downstream.module, node, MODULES, FUNCTIONS):
            if not linears or linears[-1].activation != "identity":
                return None
            name, slope = _activation(downstream.module, node)
            linears[-1] = linears[-1]._replace(activation=name, slope=slope)
        elif node.op != "placeholder" and not calls(downstream.module, node, UNCHANGED_MODULES, UNCHANGED):
            return None
    return tuple(linears)


def _activation(traced: fx.GraphModule, node: fx.Node) -> tuple[str, float]:
    """Return the name of an activation, a key of activation_functions.ACTIVATIONS, and its slope."""
    if node.op == "call_module":
        module = traced.get_submodule(node.target)
        name = next(MODULES[each] for each in MODULES if isinstance(module, each))
        return name, getattr(module, "negative_slope", 0.0)
    slope = node.kwargs.get("negative_slope", node.args[1] if len(node.args) > 1 else SLOPE)
    return FUNCTIONS[node.target], float(slope) if FUNCTIONS[node.target] == "leaky_relu" else 0.0


def sizes(layer: PrunableLayer) -> np.ndarray:
    """Return the parameters and the MACs (for one input), int64 (2, P), of the network without K channels.

    PyTorch counts both for K = 0, 1 and 2. They are polynomials in K of degree 2 at most, because each parameter and
    each product belongs to no channel, to one (linear in K), or to two channels of the layer. So Newton's differences
    give all others.
    """

    def size(k: int) -> tuple[int, int]:
        small = layer.pruned(range(k, layer.channels))
        # Biases and batch normalisation count no MACs, as usual.
        return sum(each.numel() for each in small.parameters()), sum(macs_of(small, layer.example()).values())

    counts, k = np.array([size(each) for each in range(min(layer.channels, 3))], np.int64), np.arange(layer.channels)
    binomials = (np.ones_like(k), k, k * (k - 1) // 2)
    return np.sum([np.outer(np.diff(counts, n, 0)[0], binomials[n]) for n in range(len(counts))], axis=0)


@torch.no_grad()
def macs_of(traced: fx.GraphModule, example: Tensor) -> dict[fx.Node, int]:
    """Return the MACs of each operation of a network for one input, as PyTorch counts them. example: (1, C, S, S)."""
    macs: dict[fx.Node, int] = {}

    class Counting(fx.Interpreter):
        def run_node(self, node: fx.Node) -> object:
            with FlopCounterMode(display=False) as counter:
                value = super().run_node(node)
            # A MAC is two floating point operations.
            macs[node] = counter.get_total_flops() // 2
            return value

    Counting(traced).run(example)
    return macs
