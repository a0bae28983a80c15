"""Removal done to the torch network itself: the proof that the sweep's arithmetic tells the truth.

Nothing here shares code with the sweep's way of removing (removal.py, head.py).
"""

import copy
import dataclasses

import numpy as np
import torch
from torch import Tensor, nn

from prunecurve.network import PairNet


@torch.no_grad()
def physically_smaller(model: PairNet, kept: np.ndarray) -> PairNet:
    """The network with only the kept channels (sorted numbers) in its last convolution.

    Convolution (P−K, D, k, k), batch normalisation P−K, first linear layer (P−K)·h·w inputs; all other
    layers are copies.
    """
    old = model.architecture
    small = PairNet(dataclasses.replace(old, channels=(*old.channels[:-1], len(kept)))).eval()
    area = old.map_size**2
    columns = np.concatenate([np.arange(c * area, (c + 1) * area) for c in kept])
    last = len(old.channels)
    rows_of = {f"conv{last}", f"bn{last}"}
    state = {}
    for name, tensor in model.state_dict().items():
        layer = name.split(".")[0]
        if layer in rows_of and tensor.ndim > 0:
            tensor = tensor[kept]
        elif name == "linear1.weight":
            tensor = tensor[:, columns]
        state[name] = tensor
    small.load_state_dict(state)
    return small.to(memory_format=torch.channels_last)


@torch.no_grad()
def zeroed(model: PairNet, removed: np.ndarray) -> PairNet:
    """The reference experiment's pruning: a copy of the network with `conv.weight[c] = 0` for removed channels."""
    copied = copy.deepcopy(model).eval()
    copied.last_conv.weight[removed] = 0
    return copied


class _Replaced(nn.Module):
    """A network whose pooled maps of some channels are overwritten by constants before the head."""

    def __init__(self, model: PairNet, removed: np.ndarray, maps: Tensor) -> None:
        super().__init__()
        self.model, self.removed, self.maps = model, removed, maps

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.model.last_block(x)["pool"].clone()
        pooled[:, self.removed] = self.maps
        return self.model.head(pooled)


def operated(model: PairNet, kept: np.ndarray, removal: str, mean_features: np.ndarray) -> nn.Module:
    """The torch network after a removal of all but the kept channels; mean_features (P, h, w) for mean_replacement."""
    removed = np.setdiff1d(np.arange(model.architecture.channels[-1]), kept)
    if removal == "structural":
        return physically_smaller(model, kept)
    if removal == "zero_weights":
        return zeroed(model, removed)
    if removal == "mean_replacement":
        return _Replaced(model, removed, torch.from_numpy(mean_features[removed]))
    raise ValueError(f"no surgery for removal {removal!r}")
