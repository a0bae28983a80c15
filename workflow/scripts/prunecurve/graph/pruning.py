"""A network without some channels: all weights that belong to them are cut out."""

import copy
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, fx, nn

from prunecurve.graph.cutting import copied, keep_followed, keep_weights, replace
from prunecurve.graph.groups import Group
from prunecurve.graph.nodes import depending_on

# Modules and parameters by path.
Parts = dict[str, nn.Module | Tensor]


@torch.no_grad()
def pruned(model: nn.Module, group: Group, kept: np.ndarray) -> nn.Module:
    """Return a copy of a network that has only these channels of a group (their numbers)."""
    small = copy.deepcopy(model)
    for path, part in pruned_parts(small, (*group.modules(), *group.parameters), group, kept).items():
        owner, _, name = path.rpartition(".")
        if path in group.parameters:
            replace(small.get_submodule(owner), name, part)
        else:
            small.set_submodule(path, part)
    return small


def pruned_parts(model: nn.Module, paths: Iterable[str], group: Group, kept: np.ndarray) -> Parts:
    """Return what replaces modules and parameters of a group, by path, in the network that has only these channels.

    Copies of the modules share their other tensors with the network.
    """
    gone = np.setdiff1d(np.arange(group.channels), kept)
    parts: Parts = {}
    for path in paths:
        if path in group.parameters:
            parts[path] = _cut_parameter(model, path, group.parameters[path], gone)
        else:
            parts[path] = _cut_module(copied(model.get_submodule(path)), path, group, gone)
    return parts


class PrunedInterpreter(fx.Interpreter):
    """A network in which other modules and parameters replace some, by path."""

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__(traced)
        self.parts: Parts = {}

    def call_module(self, target: str, args: tuple, kwargs: dict) -> object:
        """Run a module, or what replaces it."""
        module = self.parts.get(target)
        return super().call_module(target, args, kwargs) if module is None else module(*args, **kwargs)

    def get_attr(self, target: str, args: tuple, kwargs: dict) -> object:
        """Return a parameter, or what replaces it."""
        return self.parts[target] if target in self.parts else super().get_attr(target, args, kwargs)


def run_part(
    part: fx.GraphModule, traced: fx.GraphModule, group: Group, kept: np.ndarray, inputs: Tensor
) -> dict[str, object]:
    """Return the values of a `part_before` if the network has only these channels of a group."""
    small = PrunedInterpreter(part)
    small.parts = pruned_parts(traced, paths_in(part.graph, group), group, kept)
    return small.run(inputs)


def paths_in(graph: fx.Graph, group: Group) -> list[str]:
    """Return the paths of the modules and parameters of a group that a graph reads."""
    read = {node.target for node in graph.nodes if node.op in ("call_module", "get_attr")}
    return [path for path in (*group.modules(), *group.parameters) if path in read]


def run_pruned(traced: fx.GraphModule, group: Group, kept: np.ndarray, values: Mapping[fx.Node, object]) -> Tensor:
    """Return the logits of a network that has only these channels of a group, from its inputs on.

    values: the values of all operations of the whole network for these inputs. Those that depend on no module of the
    group are used again.
    """
    small = PrunedInterpreter(traced)
    small.parts = pruned_parts(traced, paths_in(traced.graph, group), group, kept)
    changed = [node for node in traced.graph.nodes if node.op != "output" and node.target in small.parts]
    again = depending_on(traced, changed)
    return small.run(initial_env={node: values[node] for node in values if node not in again})


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


def _cut_parameter(model: nn.Module, path: str, numbers: np.ndarray, gone: np.ndarray) -> Tensor:
    """Return a parameter or buffer without the entries of channels that are gone."""
    owner, _, name = path.rpartition(".")
    tensor, mask = getattr(model.get_submodule(owner), name), np.isin(numbers, gone)
    dim = next((d for d in range(mask.ndim) if (mask != np.take(mask, [0], d)).any()), 0)
    kept = np.flatnonzero(~np.moveaxis(mask, dim, 0).reshape(mask.shape[dim], -1)[:, 0])
    return tensor.index_select(dim, torch.from_numpy(kept).to(tensor.device))
