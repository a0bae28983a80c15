"""The exact loss of a network without some channels of any layer, by forward passes in torch."""

from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from prunecurve.graph.layers import batch_with_gradients
from prunecurve.ranking.validation_set import ValidationSet
from prunecurve.sweep.backends.torch_backend import Backend


class Losses:
    """The methods of `numpy_losses.Losses`; each loss needs a forward pass through the rest of the network."""

    def __init__(self, validation: ValidationSet) -> None:
        self.backend: Backend = validation.backend
        self.downstream, self.chosen = self.backend.network.downstream, validation.chosen
        self.features, self.labels = validation.features, torch.from_numpy(validation.labels.astype(np.int64))
        self.shares, self.channels = validation.shares, validation.layer.channels
        self.left = list(range(self.channels))

    @torch.inference_mode()
    def _losses(self, sets: Sequence[Collection[int]]) -> np.ndarray:
        """Return the loss (len(sets),) of the network without each of these sets of channels."""
        result = np.zeros(len(sets))
        for rows, values in self.backend.batches(self.features, self.chosen):
            for i, removed in enumerate(sets):
                logits = self.downstream.logits(values, np.array([*removed], np.int64)).double()
                each = cross_entropy(logits, self.labels[rows], reduction="none").numpy()
                result[i] += each @ self.shares[rows]
        return result

    def _removed(self) -> set[int]:
        return set(range(self.channels)) - set(self.left)

    def now(self) -> float:
        """Return the loss of the current network."""
        return float(self._losses([self._removed()])[0])

    def changed(self, channels: Sequence[int]) -> np.ndarray:
        """Return the loss (len(channels),) after a change of each of these channels alone."""
        return self._losses([self._removed() ^ {channel} for channel in channels])

    def change(self, channel: int) -> None:
        """Remove a channel, or restore it if it is removed."""
        self.left = sorted({*self.left} ^ {channel})

    def along(self, orders: np.ndarray) -> np.ndarray:
        """Return the losses (R, P + 1) without the first 0 … P channels of each order (R, P), whatever is removed."""
        sets = [order[:k] for order in orders for k in range(self.channels + 1)]
        return self._losses(sets).reshape(len(orders), -1)

    def effects(self, means: np.ndarray | None = None) -> np.ndarray:
        """Return the derivative (N, P) of each input's loss with respect to a factor 1 on each channel that is read.

        means: (E,), if the factor is on the deviation from these values.
        """
        constant = None if means is None else torch.from_numpy(means)
        result = np.empty((len(self.labels), self.channels))
        rows, values = next(self.backend.batches(self.features, self.chosen, most=2))
        most = batch_with_gradients(self.downstream, values, rows.stop, self.backend.batch)
        for rows, values in self.backend.batches(self.features, self.chosen, most):
            result[rows] = self.downstream.effects(values, self.labels[rows], constant)
        return result
