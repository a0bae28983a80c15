"""Removal of channels from the torch network itself, used to verify the sweep.

Torch-Pruning finds and removes the weights that depend on a channel. Nothing of the sweep's code, and nothing of the
analysis that it rests on (graph/channels.py), is used here.
"""

import copy
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
import torch_pruning
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from prunecurve.data.batches import Split, batch_for
from prunecurve.errors import StudyError
from prunecurve.model.gradients import safe_gradients
from prunecurve.verification.perturbation import Entries, Perturbation


@contextmanager
def gradients():
    """Record gradients, which Torch-Pruning follows from layer to layer, whatever mode the caller is in."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def graph_of(model: nn.Module, example: Tensor) -> torch_pruning.DependencyGraph:
    """Return Torch-Pruning's graph of a network, traced with an input (n, C, S, S)."""
    return torch_pruning.DependencyGraph().build_dependency(model, example_inputs=example)


def group_of(graph: torch_pruning.DependencyGraph, model: nn.Module, layer: str, removed: np.ndarray):
    """Return Torch-Pruning's group: the modules that depend on these channels of a layer, with their entries.

    Raises StudyError if it has other channels of the layer: Torch-Pruning follows some reshapes wrongly.
    """
    module, numbers = model.get_submodule(layer), [int(channel) for channel in removed]
    linear = isinstance(module, nn.Linear)
    prune = torch_pruning.prune_linear_out_channels if linear else torch_pruning.prune_conv_out_channels
    group = graph.get_pruning_group(module, prune, idxs=numbers)
    for item in group:
        if item.dep.target.module is module and prune == item.dep.handler and set(item.idxs) != set(numbers):
            raise StudyError(
                f"layer: {layer}: Torch-Pruning, which verifies removals, removes {len(set(item.idxs))} channels "
                f"instead of {len(removed)}: it cannot follow an operation behind the layer, often a gate that is "
                "written with view; x * gate[:, :, None, None] works"
            )
    return group


def structural(model: nn.Module, removed: Mapping[str, np.ndarray], example: Tensor) -> nn.Module:
    """Return a smaller network without these channels of some layers, which must not share channels.

    removed: channel numbers of the whole network, by the module path of the layer. One layer after the other is cut:
    the numbers of a layer's own channels do not depend on the others. example: any input (n, C, S, S), with which
    Torch-Pruning traces the network.
    """
    with gradients():
        small = copy.deepcopy(model).eval().requires_grad_()
        # The graph knows the modules and how they are connected, which the removal does not change.
        graph = graph_of(small, example)
        for layer, channels in removed.items():
            if len(channels):
                group_of(graph, small, layer, channels).prune()
    return small.to(memory_format=torch.channels_last)


def items_of(
    model: nn.Module, layer: str, removed: np.ndarray, example: Tensor, perturbation: Perturbation | None = None
) -> list[Entries]:
    """Return the entries of all convolutions and linear layers that belong to these channels of a layer.

    Torch-Pruning finds them, or a perturbation of the network. A depthwise convolution is left out: it neither computes
    channels from others nor mixes them.
    """
    if not len(removed):
        return []
    if perturbation is not None:
        return perturbation.items(layer, removed)
    entries = []
    with gradients():
        copied = copy.deepcopy(model).eval().requires_grad_()
        graph, paths = graph_of(copied, example.clone()), {module: path for path, module in copied.named_modules()}
        for item in group_of(graph, copied, layer, removed):
            module = item.dep.target.module
            depthwise = isinstance(module, nn.Conv2d) and module.groups > 1
            if isinstance(module, nn.Conv2d | nn.Linear) and not depthwise:
                reads = bool(graph.is_in_channel_pruning_fn(item.dep.handler))
                entries.append(Entries(paths[module], reads, list(item.idxs)))
    return entries


def overwritten(model: nn.Module, items: Iterable[Entries], values: np.ndarray | None = None) -> nn.Module:
    """Return a copy of the network in which constant maps replace removed channels where other layers read them.

    values: float32, what all layers that read the channels get, one after the other in the order in which the network
    runs them; None means zeros.
    """
    copied, place = copy.deepcopy(model).eval(), 0
    flat = None if values is None else torch.from_numpy(np.array(values, np.float32)).flatten()
    read: dict[str, list[int]] = {}
    for path, reads, numbers in items:
        if reads:
            read.setdefault(path, []).extend(numbers)

    def overwrite(numbers: list[int], module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        nonlocal place
        value, chosen = inputs[0].clone(), torch.tensor(numbers)
        # Channels of a convolution, features of a linear layer.
        dim, count = 1 if isinstance(module, nn.Conv2d) else -1, value[0].numel()
        if flat is None:
            return (value.index_fill_(dim, chosen, 0.0),)
        maps = flat[place : place + count].reshape(1, *value.shape[1:]).to(value.dtype)
        # After the last call of a pass, the first one follows.
        place = (place + count) % len(flat)
        return (value.index_copy_(dim, chosen, maps.expand(value.shape).index_select(dim, chosen)),)

    for path, numbers in read.items():
        copied.get_submodule(path).register_forward_pre_hook(partial(overwrite, numbers))
    return copied


def operated(
    model: nn.Module,
    layer: str,
    removed: np.ndarray,
    removal: str,
    example: Tensor,
    mean_features: np.ndarray | None,
    perturbation: Perturbation | None = None,
) -> nn.Module:
    """Return the torch network after the removal of these channels of a layer.

    layer: its module path. removed: sorted channel numbers (K,). removal: a key of `removal.REMOVALS`. example: one
    input (1, C, S, S). mean_features: the values for `overwritten`. perturbation: of the network, instead of
    Torch-Pruning; structural removal then means zeros where the channels are read.
    """
    if removal == "structural" and perturbation is None:
        return structural(model, {layer: removed}, example)
    items = items_of(model, layer, removed, example, perturbation)
    if removal != "zero_weights":
        return overwritten(model, items, {"structural": None, "mean_replacement": mean_features}[removal])
    # As in the reference experiment. If several layers compute the channels, the weights of all are zero.
    copied = copy.deepcopy(model).eval()
    with torch.no_grad():
        for path, reads, numbers in items:
            if not reads:
                copied.get_submodule(path).weight[torch.as_tensor(numbers)] = 0
    return copied


@torch.inference_mode()
def means_read(
    model: nn.Module, layer: str, split: Split, perturbation: Perturbation | None = None
) -> list[np.ndarray]:
    """Return what the layers that read the channels of a layer get: for each call the mean over a split's inputs.

    Float64, without the dimension of the inputs, in the order in which the network runs. perturbation: see `items_of`.
    """
    copied, read = copy.deepcopy(model).eval(), []
    every = np.arange(len(copied.get_submodule(layer).weight))
    items = items_of(model, layer, every, next(split.batches(1))[0], perturbation)
    for path in dict.fromkeys(path for path, reads, _ in items if reads):
        copied.get_submodule(path).register_forward_pre_hook(
            lambda module, inputs: read.append(inputs[0].double().sum(0).numpy())
        )
    sums: list[np.ndarray] = []
    for inputs, _ in split.batches(batch_for(copied, split)):
        read.clear()
        copied(inputs)
        sums = [one + other for one, other in zip(sums, read, strict=True)] if sums else list(read)
    return [each / len(split) for each in sums]


def parameters_and_macs(model: nn.Module, example: Tensor) -> dict[str, int]:
    """Return the parameters and, for one input, the MACs of a network, as PyTorch counts them.

    example: one input (1, C, S, S). Only parameters that affect the logits, according to autograd, count; a network can
    have others, such as classifiers that only its training uses. PyTorch's counter runs the network and counts the
    floating point operations of convolutions and matrix products; a MAC is two of them.
    """
    parameters = list(model.parameters())
    with gradients(), safe_gradients(model):
        with FlopCounterMode(display=False) as counter:
            logits = model.eval().requires_grad_()(example.clone())
        derivatives = torch.autograd.grad(logits.sum(), parameters, allow_unused=True)
    used = [each for each, gradient in zip(parameters, derivatives) if gradient is not None]
    return {"params": sum(each.numel() for each in used), "macs": counter.get_total_flops() // 2}


def size_of(model: nn.Module, layer: str, removed: np.ndarray, removal: str, example: Tensor) -> dict[str, int]:
    """Return `parameters_and_macs` of the network after a removal; arguments as for `operated`.

    With mean_replacement it is the size of the smaller network: the mean maps become part of a bias.
    """
    small = copy.deepcopy(model) if removal == "zero_weights" else structural(model, {layer: removed}, example)
    return parameters_and_macs(small, example)
