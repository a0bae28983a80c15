"""A network without some channels: the groups of channels, and modules whose weights are cut."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, fx, nn

from prunecurve.graph.nodes import depending_on

# Modules and parameters by path.
Parts = dict[str, nn.Module | Tensor]
# Attributes of modules with parameters per channel that are their number.
SIZES = ("in_channels", "out_channels", "groups", "num_features", "num_parameters")


class Group(NamedTuple):
    """The channels of a layer, and the entries of all modules that can only be removed with them.

    Each dictionary has an int64 array per module, by module path and in the order of the network: for each entry the
    number of the layer's channel that it belongs to, −1 for none. makers: the output channels of each Conv2d and Linear
    that computes the channels, the layer included. followers: the channels of each module with parameters per channel
    (batch normalisation, depthwise convolution). readers: the inputs of each Conv2d and Linear that reads the channels:
    input channels of a convolution, input features of a linear layer. parameters: by their paths, parameters and
    buffers with entries per channel that no module of torch reads, such as a scale; the arrays have their shapes.
    """

    channels: int
    makers: Mapping[str, np.ndarray]
    followers: Mapping[str, np.ndarray]
    readers: Mapping[str, np.ndarray]
    parameters: Mapping[str, np.ndarray]

    def modules(self) -> list[str]:
        """Return the paths of all modules that have entries of the channels."""
        return list({**self.makers, **self.followers, **self.readers})


class ChannelAxis(NamedTuple):
    """The dimension of a value along which the channels of a group lie; the first dimension is that of the inputs.

    numbers: int64, for each index along this dimension the number of the channel, −1 for none.
    """

    dim: int
    numbers: np.ndarray

    def in_order(self, channels: int) -> bool:
        """Return whether the channels lie one after the other, each with the same number of entries, and no others."""
        return np.array_equal(self.numbers, np.arange(channels).repeat(len(self.numbers) // channels))

    def entries(self, chosen: np.ndarray) -> np.ndarray:
        """Return the indices that belong to the chosen channels."""
        return np.flatnonzero(np.isin(self.numbers, chosen))

    def without(self, removed: np.ndarray) -> np.ndarray:
        """Return the indices that do not belong to the removed channels."""
        return np.flatnonzero(~np.isin(self.numbers, removed))


# ---- a whole network


@torch.no_grad()
def pruned(model: nn.Module, group: Group, kept: np.ndarray) -> nn.Module:
    """Return a copy of a network that has only these channels of a group (their numbers)."""
    small = copy.deepcopy(model)
    for path, part in pruned_parts(small, (*group.modules(), *group.parameters), group, kept).items():
        owner, _, name = path.rpartition(".")
        replace(small.get_submodule(owner), name, part)
    return small


def pruned_parts(model: nn.Module, paths: Iterable[str], group: Group, kept: np.ndarray) -> Parts:
    """Return what replaces modules and parameters of a group, by path, in the network that has only these channels.

    Copies of the modules share their other tensors with the network.
    """
    gone = np.setdiff1d(np.arange(group.channels), kept)
    parts: Parts = {}
    for path in paths:
        part = attrgetter(path)(model)
        if path in group.parameters:
            parts[path] = _cut_parameter(part, np.isin(group.parameters[path], gone))
        else:
            parts[path] = _cut_module(copied(part), path, group, gone)
    return parts


class PrunedInterpreter(fx.Interpreter):
    """A network, or a part of it, in which other modules and parameters replace some, by path.

    parts: the replacements. belonging: the paths of the modules and parameters of the group that the network reads.
    """

    def __init__(self, traced: fx.GraphModule, group: Group, kept: np.ndarray | None = None) -> None:
        """Prepare to run a network with only these channels of a group; None for all."""
        super().__init__(traced)
        self.group = group
        read = {node.target for node in traced.graph.nodes if node.op in ("call_module", "get_attr")}
        self.belonging = [path for path in (*group.modules(), *group.parameters) if path in read]
        self.parts: Parts = {} if kept is None else pruned_parts(traced, self.belonging, group, kept)

    def fetch_attr(self, target: str) -> Any:
        """Return a module or parameter, or what replaces it."""
        return self.parts[target] if target in self.parts else super().fetch_attr(target)


def run_pruned(traced: fx.GraphModule, group: Group, kept: np.ndarray, values: Mapping[fx.Node, object]) -> Tensor:
    """Return the logits of a network that has only these channels of a group, from its inputs on.

    values: the values of all operations of the whole network for these inputs. Those that depend on no module of the
    group are used again.
    """
    small = PrunedInterpreter(traced, group, kept)
    changed = [node for node in traced.graph.nodes if node.op != "output" and node.target in small.parts]
    again = depending_on(traced, changed)
    return small.run(initial_env={node: values[node] for node in values if node not in again})


# ---- one module


def copied(module: nn.Module) -> nn.Module:
    """Return a copy of a module whose tensors can be replaced; until then it shares them with the module."""
    if any(module.children()):
        return copy.deepcopy(module)
    same = copy.copy(module)
    same._parameters, same._buffers = dict(module._parameters), dict(module._buffers)
    return same


@torch.no_grad()
def with_random_constants(module: nn.Module) -> nn.Module:
    """Return a copy of a module with random positive numbers instead of parameters and buffers that are constant.

    Zeros and ones, a usual start, would hide what an operation does.
    """
    random, other = torch.Generator().manual_seed(0), copy.deepcopy(module)
    for tensor in (*other.parameters(), *other.buffers()):
        if tensor.is_floating_point() and tensor.numel() and (tensor == tensor.flatten()[0]).all():
            tensor.copy_(torch.rand(tensor.shape, generator=random) + 0.5)
    return other


def per_channel(module: nn.Module, channels: int) -> Iterator[tuple[nn.Module, str, Tensor]]:
    """Yield the parameters and buffers of a module that have an entry for each of its channels: owner, name, tensor."""
    for owner in module.modules():
        for name, tensor in [*owner.named_parameters(recurse=False), *owner.named_buffers(recurse=False)]:
            # One number for all channels stays as it is.
            if tensor.ndim and len(tensor) == channels > 1:
                yield owner, name, tensor


def keep_followed(module: nn.Module, kept: Tensor, channels: int) -> None:
    """Keep these of the channels of a module with parameters per channel."""
    _keep_entries(module, kept, channels)
    for owner in module.modules():
        for name in SIZES:
            if getattr(owner, name, None) == channels:
                setattr(owner, name, len(kept))


def keep_weights(module: nn.Conv2d | nn.Linear, rows: Tensor | None, columns: Tensor | None) -> None:
    """Keep these outputs and inputs of a layer; None keeps all."""
    unit = "channels" if isinstance(module, nn.Conv2d) else "features"
    if columns is not None:
        replace(module, "weight", module.weight[:, columns.to(module.weight.device)])
        setattr(module, f"in_{unit}", len(columns))
    if rows is not None:
        # A class of the user can have further parameters, such as a gain.
        _keep_entries(module, rows, len(module.weight))
        setattr(module, f"out_{unit}", len(rows))


@torch.no_grad()
def cuttable(module: nn.Conv2d | nn.Linear, shape: Sequence[int]) -> tuple[bool, bool]:
    """Return whether the inputs, and whether the outputs, of a layer can be cut with its weights.

    A class of the user can compute with all of them at once, such as a convolution that standardises its filters. It
    must be linear in its inputs, but for what it adds. shape: of what it reads.
    """
    dim = 1 if isinstance(module, nn.Conv2d) else -1
    layer, value = with_random_constants(module).cpu(), torch.randn(*shape, generator=torch.Generator().manual_seed(0))

    def same(outputs: int, inputs: int) -> bool:
        """Return whether the layer without so many outputs and inputs is the layer that reads zeros there."""
        small, rows, columns = copied(layer), torch.arange(outputs, len(layer.weight)), torch.arange(inputs, shape[dim])
        expected = layer(value.index_fill(dim, torch.arange(inputs), 0.0)).index_select(dim, rows)
        try:
            keep_weights(small, rows, columns)
            result = small(value.index_select(dim, columns))
        # The class can compute anything.
        except Exception:
            return False
        return result.shape == expected.shape and torch.allclose(result, expected, rtol=1e-4, atol=1e-5)

    steps = [layer(size * value) for size in (0, 1, 2)]
    linear = torch.allclose(steps[2] - steps[1], steps[1] - steps[0], rtol=1e-4, atol=1e-4)
    return linear and (shape[dim] == 1 or same(0, 1)), len(layer.weight) == 1 or same(1, 0)


def replace(module: nn.Module, name: str, value: nn.Module | Tensor) -> None:
    """Set a module, parameter or buffer of a module."""
    setattr(module, name, nn.Parameter(value) if name in module._parameters else value)


def _keep_entries(module: nn.Module, kept: Tensor, channels: int) -> None:
    for owner, name, tensor in list(per_channel(module, channels)):
        replace(owner, name, tensor[kept.to(tensor.device)])


def _cut_module(module: nn.Module, path: str, group: Group, gone: np.ndarray) -> nn.Module:
    """Remove channels from a module of a group; return it."""
    rows, followed, columns = (
        torch.from_numpy(np.flatnonzero(~np.isin(part[path], gone))) if path in part else None
        for part in (group.makers, group.followers, group.readers)
    )
    if followed is not None:
        keep_followed(module, followed, len(group.followers[path]))
    else:
        keep_weights(module, rows, columns)
    return module


def _cut_parameter(tensor: Tensor, gone: np.ndarray) -> Tensor:
    """Return a parameter or buffer without some entries, which are all entries at some indices of a dimension."""
    dim = next((d for d in range(gone.ndim) if (gone != np.take(gone, [0], d)).any()), 0)
    kept = np.flatnonzero(~np.moveaxis(gone, dim, 0).reshape(gone.shape[dim], -1)[:, 0])
    return tensor.index_select(dim, torch.from_numpy(kept).to(tensor.device))
