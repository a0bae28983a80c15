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
def physically_smaller(model: PairNet, i: int, kept: np.ndarray) -> PairNet:
    """The network with only the kept channels (sorted numbers) in the convolution of block i.

    Convolution (P−K, D, k, k) and batch normalisation P−K; of the next layer's inputs, those of the kept channels:
    (D', P−K, k, k) of a convolution, (P−K)·h·w of the first linear layer. All other layers are copies.
    """
    old = model.architecture
    channels = (*old.channels[: i - 1], len(kept), *old.channels[i:])
    small = PairNet(dataclasses.replace(old, channels=channels)).eval()
    area = old.size_after(i) ** 2
    columns = np.concatenate([np.arange(c * area, (c + 1) * area) for c in kept])
    state = {}
    for name, tensor in model.state_dict().items():
        if name.split(".")[0] in (f"conv{i}", f"bn{i}") and tensor.ndim > 0:
            tensor = tensor[kept]
        elif name == f"conv{i + 1}.weight":
            tensor = tensor[:, kept]
        elif name == "linear1.weight" and i == old.blocks:
            tensor = tensor[:, columns]
        state[name] = tensor
    small.load_state_dict(state)
    return small.to(memory_format=torch.channels_last)


@torch.no_grad()
def zeroed(model: PairNet, i: int, removed: np.ndarray) -> PairNet:
    """The reference experiment's pruning: a copy of the network with `conv.weight[c] = 0` for removed channels."""
    copied = copy.deepcopy(model).eval()
    copied.conv(i).weight[removed] = 0
    return copied


class _Replaced(nn.Module):
    """A network whose pooled maps of some channels of block i are overwritten by constants."""

    def __init__(self, model: PairNet, i: int, removed: np.ndarray, maps: Tensor) -> None:
        super().__init__()
        self.model, self.i, self.removed, self.maps = model, i, removed, maps

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.model.maps(self.i, x)["pool"].clone()
        pooled[:, self.removed] = self.maps
        return self.model.after(self.i, pooled)


def operated(model: PairNet, i: int, kept: np.ndarray, removal: str, mean_features: np.ndarray) -> nn.Module:
    """The torch network after a removal of all but the kept channels of block i.

    mean_features: (P, h, w), for mean_replacement.
    """
    removed = np.setdiff1d(np.arange(model.architecture.channels[i - 1]), kept)
    if removal == "structural":
        return physically_smaller(model, i, kept)
    if removal == "zero_weights":
        return zeroed(model, i, removed)
    if removal == "mean_replacement":
        return _Replaced(model, i, removed, torch.from_numpy(mean_features[removed]))
    raise ValueError(f"no surgery for removal {removal!r}")
