"""Removal of channels from the torch network itself, used to verify the sweep.

Torch-Pruning finds and removes the weights that depend on a channel. Nothing of the sweep's code, and nothing of the
analysis that it rests on (network/layers.py), is used here.
"""

import copy
from contextlib import contextmanager

import numpy as np
import torch
import torch_pruning
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from prunecurve.errors import StudyError


@contextmanager
def _gradients():
    """Record gradients, which Torch-Pruning follows from layer to layer, whatever mode the caller is in."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _group(model: nn.Module, layer: str, removed: np.ndarray, example: Tensor):
    """Return Torch-Pruning's graph and group: the modules that depend on these channels, with the entries concerned."""
    module = model.get_submodule(layer)
    graph = torch_pruning.DependencyGraph().build_dependency(model, example_inputs=example)
    prune = torch_pruning.prune_conv_out_channels
    if isinstance(module, nn.Linear):
        prune = torch_pruning.prune_linear_out_channels
    return graph, graph.get_pruning_group(module, prune, idxs=[int(channel) for channel in removed])


def structural(model: nn.Module, layer: str, removed: np.ndarray, example: Tensor) -> nn.Module:
    """Return a smaller network without these channels (numbers) of a layer, given by its module path.

    example: any input (n, C, S, S), with which Torch-Pruning traces the network.
    """
    with _gradients():
        small = copy.deepcopy(model).eval().requires_grad_()
        if len(removed):
            _group(small, layer, removed, example)[1].prune()
    return small.to(memory_format=torch.channels_last)


@torch.no_grad()
def zeroed(model: nn.Module, layer: str, removed: np.ndarray) -> nn.Module:
    """Return a copy of the network with `weight[c] = 0` for removed channels, as in the reference experiment."""
    copied = copy.deepcopy(model).eval()
    copied.get_submodule(layer).weight[torch.as_tensor(removed)] = 0
    return copied


def mean_replaced(
    model: nn.Module, layer: str, removed: np.ndarray, example: Tensor, mean_features: np.ndarray
) -> nn.Module:
    """Return a copy of the network in which constant maps replace removed channels where other layers read them.

    mean_features: (P, h, w), the maps. Torch-Pruning says which modules read the channels, and which of their inputs.
    """
    with _gradients():
        copied = copy.deepcopy(model).eval().requires_grad_()
        graph, group = _group(copied, layer, removed, example) if len(removed) else (None, [])
    maps = torch.from_numpy(np.array(mean_features[removed], np.float32))
    for item in group:
        module = item.dep.target.module
        if isinstance(module, nn.Conv2d | nn.Linear) and graph.is_in_channel_pruning_fn(item.dep.handler):
            module.register_forward_pre_hook(_overwriting(list(item.idxs), maps))
    return copied


def _overwriting(entries: list[int], maps: Tensor):
    """Return a hook that overwrites channels (of a convolution) or features (of a linear layer) of a module's input."""

    def hook(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        given = inputs[0].clone()
        given[:, entries] = maps if given.ndim == 4 else maps.flatten()
        return (given,)

    return hook


@torch.no_grad()
def counted(model: nn.Module, example: Tensor) -> dict[str, int]:
    """Return the parameters and, for one input, the MACs of a network, as PyTorch counts them.

    example: one input (1, C, S, S). PyTorch's counter runs the network and counts the floating point operations of
    convolutions and matrix products; a MAC is two of them.
    """
    with FlopCounterMode(display=False) as counter:
        model.eval()(example)
    return {"params": sum(p.numel() for p in model.parameters()), "macs": counter.get_total_flops() // 2}


def operated(
    model: nn.Module, layer: str, removed: np.ndarray, removal: str, example: Tensor, mean_features: np.ndarray
) -> nn.Module:
    """Return the torch network after the removal of these channels of a layer.

    layer: its module path. removed: sorted channel numbers (K,). removal: a key of `removal.REMOVALS`. example: one
    input (1, C, S, S). mean_features: the mean maps (P, h, w), used by mean_replacement. Raises StudyError for an
    unknown removal.
    """
    if removal == "structural":
        return structural(model, layer, removed, example)
    if removal == "zero_weights":
        return zeroed(model, layer, removed)
    if removal == "mean_replacement":
        return mean_replaced(model, layer, removed, example, mean_features)
    raise StudyError(f"sweep.removals: {removal!r} has no implementation in verification/surgery.py; add one")


def size_of(model: nn.Module, layer: str, removed: np.ndarray, removal: str, example: Tensor) -> dict[str, int]:
    """Return `counted` of the network after a removal; arguments as for `operated`.

    With mean_replacement it is the size of the smaller network: the mean maps become part of a bias.
    """
    if removal == "zero_weights":
        return counted(zeroed(model, layer, removed), example)
    return counted(structural(model, layer, removed, example), example)
