"""Removal of channels from the torch network itself, used to verify the sweep.

This module shares no code with the sweep's computation (removal.py, head.py).
"""

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from prunecurve.network.pair_network import PairNet


@torch.no_grad()
def physically_smaller(model: PairNet, i: int, kept: np.ndarray) -> PairNet:
    """Return a smaller network that has only the kept channels (sorted numbers) in the convolution of block i.

    The convolution has weights (P−K, D, k, k) and the batch normalisation P−K channels. The next layer keeps only the
    inputs from the kept channels: weights (D', P−K, k, k) if it is a convolution, (P−K)·h·w input features if it is
    the first linear layer. All other layers are copies.
    """
    old = model.architecture
    channels = [*old.channels[: i - 1], len(kept), *old.channels[i:]]
    small = PairNet(old.model_copy(update={"channels": channels})).eval()
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
    """Return a copy of the network with `conv.weight[c] = 0` for removed channels, as in the reference experiment."""
    copied = copy.deepcopy(model).eval()
    copied.conv(i).weight[removed] = 0
    return copied


@torch.no_grad()
def counted(model: nn.Module, channels: int, image_size: int) -> dict[str, int]:
    """Return the parameters and, for one pair, the MACs of a network, as PyTorch counts them.

    channels, image_size: of the network's input. PyTorch's counter runs the network and counts the floating point
    operations of convolutions and matrix products; a MAC is two of them.
    """
    with FlopCounterMode(display=False) as counter:
        model.eval()(torch.zeros(1, channels, image_size, image_size))
    return {"params": sum(p.numel() for p in model.parameters()), "macs": counter.get_total_flops() // 2}


class _Replaced(nn.Module):
    """A network that overwrites the pooled maps of some channels of block i with constant maps."""

    def __init__(self, model: PairNet, i: int, removed: np.ndarray, maps: Tensor) -> None:
        super().__init__()
        self.model, self.i, self.removed, self.maps = model, i, removed, maps

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.model.maps(self.i, x)["pool"].clone()
        pooled[:, self.removed] = self.maps
        return self.model.after(self.i, pooled)


def operated(model: PairNet, i: int, kept: np.ndarray, removal: str, mean_features: np.ndarray) -> nn.Module:
    """Return the torch network after the removal of all channels of block i except the kept ones.

    kept: sorted channel numbers (P−K,). removal: a key of `removal.REMOVALS`. mean_features: the mean pooled maps
    (P, h, w), used by mean_replacement. Raises ValueError for an unknown removal.
    """
    removed = np.setdiff1d(np.arange(model.architecture.channels[i - 1]), kept)
    if removal == "structural":
        return physically_smaller(model, i, kept)
    if removal == "zero_weights":
        return zeroed(model, i, removed)
    if removal == "mean_replacement":
        return _Replaced(model, i, removed, torch.from_numpy(mean_features[removed]))
    raise ValueError(f"removal {removal!r} has no implementation in surgery.py; add one")


def size_of(model: PairNet, i: int, kept: np.ndarray, removal: str) -> dict[str, int]:
    """Return `counted` of the network after a removal; arguments as for `operated`.

    With mean_replacement it is the size of the smaller network: the mean maps become part of a bias.
    """
    old = model.architecture
    if removal == "zero_weights":
        network = zeroed(model, i, np.setdiff1d(np.arange(old.channels[i - 1]), kept))
    else:
        network = physically_smaller(model, i, kept)
    return counted(network, old.in_channels, old.image_size)
