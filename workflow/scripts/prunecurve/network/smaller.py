"""A copy of a network without some channels: all weights that belong to them are cut out."""

import copy
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, fx, nn

from prunecurve.network.channels import Group
from prunecurve.network.tracing import depending_on


@torch.no_grad()
def smaller(model: nn.Module, group: Group, kept: np.ndarray) -> nn.Module:
    """Return a copy of a network that has only these channels of a group (their numbers)."""
    small = copy.deepcopy(model)
    for path in group.modules():
        _cut(small.get_submodule(path), path, group, kept)
    return small


def smaller_modules(model: nn.Module, paths: Iterable[str], group: Group, kept: np.ndarray) -> dict[str, nn.Module]:
    """Return copies of modules of a group that have only these channels, by path; the other tensors are shared."""
    modules = {}
    for path in paths:
        module = modules[path] = copy.copy(model.get_submodule(path))
        module._parameters, module._buffers = dict(module._parameters), dict(module._buffers)
        _cut(module, path, group, kept)
    return modules


class _Smaller(fx.Interpreter):
    """A network with other modules in place of some, by path."""

    def __init__(self, traced: fx.GraphModule, modules: Mapping[str, nn.Module]) -> None:
        super().__init__(traced)
        self._modules = modules

    def call_module(self, target: str, args: tuple, kwargs: dict) -> object:
        module = self._modules.get(target)
        return super().call_module(target, args, kwargs) if module is None else module(*args, **kwargs)


def run_part(part: fx.GraphModule, traced: fx.GraphModule, group: Group, kept: np.ndarray, inputs: Tensor) -> object:
    """Return what a part of a network, from its inputs on, gives if the network has only these channels of a group."""
    called = {node.target for node in part.graph.nodes if node.op == "call_module"}
    modules = smaller_modules(traced, [path for path in group.modules() if path in called], group, kept)
    return _Smaller(part, modules).run(inputs)


def run_smaller(traced: fx.GraphModule, group: Group, kept: np.ndarray, values: Mapping[fx.Node, object]) -> Tensor:
    """Return the logits of a network that has only these channels of a group, from its inputs on.

    values: the values of all operations of the whole network for these inputs. Those that depend on no module of the
    group are used again.
    """
    modules = smaller_modules(traced, group.modules(), group, kept)
    changed = [node for node in traced.graph.nodes if node.op == "call_module" and node.target in modules]
    again = depending_on(traced, changed)
    return _Smaller(traced, modules).run(initial_env={node: values[node] for node in values if node not in again})


def _cut(module: nn.Module, path: str, group: Group, kept: np.ndarray) -> None:
    """Keep these channels of a module of a group."""
    gone = np.setdiff1d(np.arange(group.channels), kept)
    parts = (group.makers, group.followers, group.readers)
    rows, followed, columns = (_left(part.get(path), gone) for part in parts)
    if followed is not None:
        _keep_followed(module, followed)
    else:
        _keep_weights(module, rows, columns)


def _left(numbers: np.ndarray | None, gone: np.ndarray) -> Tensor | None:
    """Return the entries that do not belong to channels that are gone; None if the module has no such entries."""
    return None if numbers is None else torch.from_numpy(np.flatnonzero(~np.isin(numbers, gone)))


def _keep_weights(module: nn.Conv2d | nn.Linear, rows: Tensor | None, columns: Tensor | None) -> None:
    """Keep these outputs and inputs of a layer; None keeps all."""
    inputs, outputs = ("in_features", "out_features")
    if isinstance(module, nn.Conv2d):
        inputs, outputs = ("in_channels", "out_channels")
    if rows is not None:
        module.weight = nn.Parameter(module.weight[rows])
        module.bias = None if module.bias is None else nn.Parameter(module.bias[rows])
        setattr(module, outputs, len(rows))
    if columns is not None:
        module.weight = nn.Parameter(module.weight[:, columns])
        setattr(module, inputs, len(columns))


def _keep_followed(module: nn.Module, kept: Tensor) -> None:
    """Keep these channels of a module with parameters per channel."""
    for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
        # One number for all channels stays as it is.
        if tensor.ndim:
            setattr(module, name, nn.Parameter(tensor[kept]) if isinstance(tensor, nn.Parameter) else tensor[kept])
    for name in ("in_channels", "out_channels", "groups", "num_features", "num_parameters"):
        if hasattr(module, name):
            setattr(module, name, len(kept))
