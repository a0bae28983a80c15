"""The rest of the network after a convolution that is not the last, in torch, from that layer's pooled maps.

The layers up to the pooled maps run once per network, and their result is stored. As in `removal.py`, a removal is
defined by replacement maps. But the next layer is a convolution, so the rest of the network runs for each set of
removed channels.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, cross_entropy

from prunecurve.cost import block_of, layer_names
from prunecurve.examples import Examples
from prunecurve.network import Architecture, PairNet, prepare_torch

# Pairs per forward pass. Fixed, because torch may sum in a different order for another number.
BATCH = 250


def model_of(weights: dict[str, np.ndarray]) -> PairNet:
    """Rebuild the network, in eval mode, from the arrays that `network.save_weights` wrote."""
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
    # num_batches_tracked is not stored, because eval mode does not use it.
    unused = {name for name in model.state_dict() if name.endswith("num_batches_tracked")}
    state = {name: torch.from_numpy(np.array(weights[name])) for name in model.state_dict() if name not in unused}
    model.load_state_dict(state | {name: model.state_dict()[name] for name in unused})
    for i in range(1, len(filters) + 1):
        model.bn(i).eps = float(weights["bn_eps"])
    return model.to(memory_format=torch.channels_last).eval()


class Tail:
    """The rest of a network: everything after the pooled maps of its convolution `layer`."""

    def __init__(self, weights: dict[str, np.ndarray], layer: str, threads: int) -> None:
        prepare_torch("cpu", threads)
        self.model, self.i = model_of(weights), block_of(layer)

    def logits(self, maps: Tensor, removed: np.ndarray, stand_in: np.ndarray | None = None) -> Tensor:
        """Return the logits (n, 2), given pooled maps (n, P, h, w), with some channels removed.

        removed: channel numbers. stand_in: the replacement maps (P, h, w); None means zero.
        """
        conv = self.model.conv(self.i + 1)
        kept = np.setdiff1d(np.arange(maps.shape[1]), removed)
        # conv2d does not accept an input without channels.
        inputs = (maps[:, kept], conv.weight[:, kept]) if len(kept) else (torch.zeros_like(maps), conv.weight)
        output = conv2d(*inputs, conv.bias, padding=conv.padding)
        if stand_in is not None and stand_in[removed].any():
            # The same term for every pair. Because of the zero padding it is a map and not one constant per channel.
            constant = torch.from_numpy(np.ascontiguousarray(stand_in[removed], np.float32))[None]
            output = output + conv2d(constant, conv.weight[:, removed], padding=conv.padding)
        return self.model.after(self.i + 1, self.model.pooled(self.i + 1, output))


def batch_of(features: np.ndarray, start: int) -> Tensor:
    """Read the maps of BATCH pairs, from pair `start` on, into a tensor in channels-last layout (fastest on CPUs)."""
    return torch.from_numpy(np.array(features[start : start + BATCH])).to(memory_format=torch.channels_last)


class TailLosses:
    """The same methods as `losses.Losses`, for a convolution that is not the last.

    Each loss needs a forward pass through the rest of the network.
    """

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
        """Return the loss (len(sets),) of the network without each of these sets of channels."""
        result = np.zeros(len(sets))
        for start in range(0, len(self.labels), BATCH):
            maps, labels = batch_of(self.features, start), self.labels[start : start + BATCH]
            for i, removed in enumerate(sets):
                logits = self.tail.logits(maps, np.array(removed, np.int64)).double()
                each = cross_entropy(logits, labels, reduction="none").numpy()
                result[i] += each @ self.shares[start : start + BATCH]
        return result

    def _removed(self) -> list[int]:
        return sorted(set(range(self.channels)) - set(self.left))

    def now(self) -> float:
        """Return the loss of the current network."""
        return float(self._losses([self._removed()])[0])

    def without_each(self) -> np.ndarray:
        """Return the loss (len(left),) without each of the remaining channels, in order of channel numbers."""
        return self._losses([[*self._removed(), channel] for channel in self.left])

    def with_each(self, channels: Sequence[int]) -> np.ndarray:
        """Return the loss (len(channels),) with each of these removed channels restored."""
        return self._losses([[c for c in self._removed() if c != channel] for channel in channels])

    def remove(self, channel: int) -> None:
        """Remove a channel."""
        self.left.remove(channel)

    def restore(self, channel: int) -> None:
        """Restore a removed channel."""
        self.left = sorted([*self.left, channel])

    def along(self, orders: np.ndarray) -> np.ndarray:
        """Return the losses (R, P + 1) of the networks without the first 0 … P channels of each order (R, P)."""
        sets = [order[:k] for order in orders for k in range(self.channels + 1)]
        return self._losses(sets).reshape(len(orders), -1)

    def effects(self) -> np.ndarray:
        """Return the derivative (N, P) of each pair's loss with respect to a factor 1 on each channel's map.

        Computed with autograd.
        """
        result = np.empty((len(self.labels), self.channels))
        for start in range(0, len(self.labels), BATCH):
            maps = batch_of(self.features, start).requires_grad_()
            logits = self.tail.logits(maps, np.array([], np.int64))
            cross_entropy(logits, self.labels[start : start + BATCH], reduction="sum").backward()
            result[start : start + BATCH] = (maps.grad.double() * maps.detach()).sum(dim=(2, 3)).numpy()
        return result
