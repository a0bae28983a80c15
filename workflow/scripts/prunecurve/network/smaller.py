"""A copy of a network without some channels: all weights that belong to them are cut out."""

import copy

import numpy as np
import torch
from torch import Tensor, nn

from prunecurve.network.channels import Group


@torch.no_grad()
def smaller(model: nn.Module, group: Group, kept: np.ndarray) -> nn.Module:
    """Return a copy of a network that has only these channels of a group (their numbers)."""
    small, gone = copy.deepcopy(model), np.setdiff1d(np.arange(group.channels), kept)
    parts = (group.makers, group.followers, group.readers)
    for path in {name: None for part in parts for name in part}:
        rows, followed, columns = (_left(part.get(path), gone) for part in parts)
        module = small.get_submodule(path)
        if followed is not None:
            _keep_followed(module, followed)
        else:
            _keep_weights(module, rows, columns)
    return small


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
