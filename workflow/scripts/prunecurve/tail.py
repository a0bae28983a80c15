"""What follows a convolution that isn't the last: the rest of the network in torch, from that layer's pooled maps.

Everything before runs once a network and is stored. As in `losses.py`, in eval mode a removal is told by the maps that
stand in for the removed channels'; but the layers after are convolutions, and each set of channels runs through them.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, cross_entropy

from prunecurve.cost import block_of, layer_names
from prunecurve.examples import Examples
from prunecurve.network import Architecture, PairNet, prepare_torch

# Pairs in a pass; fixed, since another number may sum in another order.
BATCH = 250


def model_of(weights: dict[str, np.ndarray]) -> PairNet:
    """The network that `network.save_weights` wrote as plain arrays, in eval mode."""
    filters = [weights[f"{name}.weight"] for name in layer_names(weights, "conv")]
    linear = [weights[f"{name}.weight"] for name in layer_names(weights, "linear")]
    model = PairNet(
        Architecture(
            in_channels=filters[0].shape[1],
            image_size=int(weights["image_size"]),
            channels=tuple(len(f) for f in filters),
            kernel_size=filters[0].shape[2],
            hidden=tuple(len(w) for w in linear[:-1]),
            dropout=0.0,
        )
    )
    # How many batches were seen in training is not among the arrays, and no matter in eval mode.
    unused = {name for name in model.state_dict() if name.endswith("num_batches_tracked")}
    state = {name: torch.from_numpy(np.array(weights[name])) for name in model.state_dict() if name not in unused}
    model.load_state_dict(state | {name: model.state_dict()[name] for name in unused})
    for i in range(1, len(filters) + 1):
        model.bn(i).eps = float(weights["bn_eps"])
    return model.to(memory_format=torch.channels_last).eval()


class Tail:
    """A network from the pooled maps of its convolution `layer` on."""

    def __init__(self, weights: dict[str, np.ndarray], layer: str, threads: int) -> None:
        prepare_torch("cpu", threads)
        self.model, self.i = model_of(weights), block_of(layer)

    def logits(self, maps: Tensor, removed: np.ndarray, stand_in: np.ndarray | None = None) -> Tensor:
        """Logits (n, 2) of pooled maps (n, P, h, w) without channels, in whose place stand the maps (P, h, w)."""
        conv = self.model.conv(self.i + 1)
        kept = np.setdiff1d(np.arange(maps.shape[1]), removed)
        # torch has no convolution of no channels.
        inputs = (maps[:, kept], conv.weight[:, kept]) if len(kept) else (torch.zeros_like(maps), conv.weight)
        found = conv2d(*inputs, conv.bias, padding=conv.padding)
        if stand_in is not None and stand_in[removed].any():
            # The same for every pair. Not a constant a channel: zeros lie around the maps.
            constant = torch.from_numpy(np.ascontiguousarray(stand_in[removed], np.float32))[None]
            found = found + conv2d(constant, conv.weight[:, removed], padding=conv.padding)
        return self.model.after(self.i + 1, self.model.pooled(self.i + 1, found))


def batch_of(features: np.ndarray, start: int) -> Tensor:
    """BATCH pairs' maps from memory-mapped features, in the CPU's fastest layout."""
    return torch.from_numpy(np.array(features[start : start + BATCH])).to(memory_format=torch.channels_last)


class TailLosses:
    """`losses.Losses` for a convolution that isn't the last: the same methods, a pass through the tail a network."""

    def __init__(self, examples: Examples) -> None:
        self.tail = Tail(examples.weights, examples.layer, examples.threads)
        self.features, self.labels = examples.features, torch.from_numpy(examples.labels.astype(np.int64))
        self.shares = examples.shares
        self.channels = self.features.shape[1]
        self.left = list(range(self.channels))

    def __enter__(self) -> "TailLosses":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    @torch.inference_mode()
    def _losses(self, sets: Sequence[Sequence[int]]) -> np.ndarray:
        """The loss of the network without each of these sets of channels."""
        found = np.zeros(len(sets))
        for start in range(0, len(self.labels), BATCH):
            maps, labels = batch_of(self.features, start), self.labels[start : start + BATCH]
            for i, removed in enumerate(sets):
                logits = self.tail.logits(maps, np.array(removed, np.int64)).double()
                each = cross_entropy(logits, labels, reduction="none").numpy()
                found[i] += each @ self.shares[start : start + BATCH]
        return found

    def _removed(self) -> list[int]:
        return sorted(set(range(self.channels)) - set(self.left))

    def now(self) -> float:
        """The loss of the network as it is."""
        return float(self._losses([self._removed()])[0])

    def without_each(self) -> np.ndarray:
        """The loss (len(left),) without each of the channels that are left, in order of their numbers."""
        return self._losses([[*self._removed(), channel] for channel in self.left])

    def with_each(self, channels: Sequence[int]) -> np.ndarray:
        """The loss (len(channels),) with each of some removed channels put back."""
        return self._losses([[c for c in self._removed() if c != channel] for channel in channels])

    def remove(self, channel: int) -> None:
        """Take a channel out."""
        self.left.remove(channel)

    def restore(self, channel: int) -> None:
        """Put a removed channel back."""
        self.left = sorted([*self.left, channel])

    def along(self, orders: np.ndarray) -> np.ndarray:
        """The losses (R, P + 1) of the networks without the first 0 … P channels of each order (R, P)."""
        sets = [order[:k] for order in orders for k in range(self.channels + 1)]
        return self._losses(sets).reshape(len(orders), -1)

    def effects(self) -> np.ndarray:
        """The derivative (N, P) of each pair's loss by a factor on each channel's map, at 1, by autograd."""
        found = np.empty((len(self.labels), self.channels))
        for start in range(0, len(self.labels), BATCH):
            maps = batch_of(self.features, start).requires_grad_()
            logits = self.tail.logits(maps, np.array([], np.int64))
            cross_entropy(logits, self.labels[start : start + BATCH], reduction="sum").backward()
            found[start : start + BATCH] = (maps.grad.double() * maps.detach()).sum(dim=(2, 3)).numpy()
        return found
