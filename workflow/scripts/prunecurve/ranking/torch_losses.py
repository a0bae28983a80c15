"""The exact loss of a network without some channels of any layer, by forward passes in torch."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from prunecurve.graph.layers import batch_with_gradients
from prunecurve.ranking.validation_set import ValidationSet
from prunecurve.sweep.backends.torch_backend import Backend


class Losses:
    """The same methods as `numpy_losses.Losses`, for a layer that more than linear layers follow.

    Each loss needs a forward pass through the rest of the network.
    """

    def __init__(self, validation: ValidationSet) -> None:
        self.backend = Backend(validation.layer, validation.model, validation.threads, validation.inputs)
        self.downstream, self.chosen = self.backend.network.downstream, validation.chosen
        self.features, self.labels = validation.features, torch.from_numpy(validation.labels.astype(np.int64))
        self.shares = validation.shares
        self.channels = validation.layer.channels
        self.left = list(range(self.channels))

    def __enter__(self) -> "Losses":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    @torch.inference_mode()
    def _losses(self, sets: Sequence[Sequence[int]]) -> np.ndarray:
        """Return the loss (len(sets),) of the network without each of these sets of channels."""
        result = np.zeros(len(sets))
        for rows, values in self.backend.batches(self.features, self.chosen):
            for i, removed in enumerate(sets):
                logits = self.downstream.logits(values, np.array(removed, np.int64)).double()
                each = cross_entropy(logits, self.labels[rows], reduction="none").numpy()
                result[i] += each @ self.shares[rows]
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
        """Return the derivative (N, P) of each input's loss with respect to a factor 1 on each channel's map.

        The factor is on the maps that the next layers read. Computed with autograd.
        """
        result = np.empty((len(self.labels), self.channels))
        rows, values = next(self.backend.batches(self.features, self.chosen, most=2))
        most = batch_with_gradients(self.downstream, values, rows.stop, self.backend.batch)
        for rows, values in self.backend.batches(self.features, self.chosen, most):
            result[rows] = self.downstream.effects(values, self.labels[rows])
        return result
