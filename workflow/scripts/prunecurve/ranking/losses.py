"""The exact loss of a network without some channels of its last convolution, without a complete forward pass.

The output of the first linear layer (before ReLU) is a sum over channels. For a network that differs by one channel,
it is enough to compute that channel's term, subtract it, and run the remaining, small layers.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from prunecurve.ranking.validation_set import ValidationSet
from prunecurve.sweep.head import Head

# Pairs per block: the data of one block fits into a core's cache.
ROWS = 256


class Losses:
    """A network without the channels removed so far: its loss, and its loss with one channel more or less.

    The loss is the class-balanced cross-entropy in nats: the mean over the pairs of each class, averaged over the two
    classes. Use the object in a `with` statement.
    """

    def __init__(self, validation: ValidationSet) -> None:
        self.channels = validation.features.shape[1]
        self.head = Head(validation.weights, self.channels)
        self.features = validation.features.reshape(*validation.features.shape[:2], -1)
        self.left = list(range(self.channels))
        self.weights = [self.head.weights_of(np.array([c])) for c in self.left]
        self.labels, self.shares = validation.labels.astype(np.int64), validation.shares
        # A pair's loss is log(1 + exp(sign · margin)).
        self.sign = np.where(self.labels == 1, -1.0, 1.0)
        self.blocks = [slice(start, start + ROWS) for start in range(0, len(self.labels), ROWS)]
        self.pool = ThreadPoolExecutor(validation.threads)
        # float64, so that subtracting a channel leaves no noticeable rounding error.
        self.total = np.tile(self.head.bias.astype(np.float64), (len(self.labels), 1))
        self._in_blocks(self._add_all)

    def __enter__(self) -> "Losses":
        return self

    def __exit__(self, *error: object) -> None:
        self.pool.shutdown()

    def _in_blocks(self, work: Callable[[slice], object]) -> list:
        return list(self.pool.map(work, self.blocks))

    def _contribution(self, channel: int, rows: slice) -> np.ndarray:
        return np.ascontiguousarray(self.features[rows, channel]) @ self.weights[channel]

    def _add_all(self, rows: slice) -> None:
        for channel in self.left:
            self.total[rows] += self._contribution(channel, rows)

    def _loss(self, hidden: np.ndarray, rows: slice, buffer: np.ndarray | None = None) -> float:
        logits = self.head.logits_of(hidden, hidden if buffer is None else buffer)
        margin = (logits[:, 1] - logits[:, 0]).astype(np.float64) * self.sign[rows]
        return float(np.logaddexp(0.0, margin) @ self.shares[rows])

    def _with_change(self, change: np.ufunc, channels: Sequence[int]) -> np.ndarray:
        def losses(rows: slice) -> np.ndarray:
            # The float64 total as the sum of two float32 arrays: about as exact as float64, and faster.
            high = self.total[rows].astype(np.float32)
            low = (self.total[rows] - high).astype(np.float32)
            result = np.empty(len(channels))
            for i, channel in enumerate(channels):
                hidden = self._contribution(channel, rows)
                change(high, hidden, out=hidden)
                hidden += low
                result[i] = self._loss(hidden, rows)
            return result

        return sum(self._in_blocks(losses))

    def now(self) -> float:
        """Return the loss of the current network."""
        return sum(self._in_blocks(lambda rows: self._loss(self.total[rows].astype(np.float32), rows)))

    def without_each(self) -> np.ndarray:
        """Return the loss (len(left),) without each of the remaining channels, in order of channel numbers."""
        return self._with_change(np.subtract, self.left)

    def with_each(self, channels: Sequence[int]) -> np.ndarray:
        """Return the loss (len(channels),) with each of these removed channels restored."""
        return self._with_change(np.add, channels)

    def remove(self, channel: int) -> None:
        """Remove a channel."""
        self.left.remove(channel)
        for rows in self.blocks:
            self.total[rows] -= self._contribution(channel, rows)

    def restore(self, channel: int) -> None:
        """Restore a removed channel."""
        self.left = sorted([*self.left, channel])
        for rows in self.blocks:
            self.total[rows] += self._contribution(channel, rows)

    def along(self, orders: np.ndarray) -> np.ndarray:
        """Return the losses (R, P + 1) of the networks without the first 0 … P channels of each order (R, P).

        The result does not depend on the channels removed so far.
        """

        def losses(rows: slice) -> np.ndarray:
            result = np.empty((len(orders), self.channels + 1))
            each = [self._contribution(channel, rows) for channel in range(self.channels)]
            buffer = np.empty_like(each[0])
            for i, order in enumerate(orders):
                # Channels are added from the end of the order, so removed channels leave no rounding error.
                total = np.tile(self.head.bias, (len(buffer), 1))
                result[i, -1] = self._loss(total, rows, buffer)
                for place in range(self.channels - 1, -1, -1):
                    total += each[order[place]]
                    result[i, place] = self._loss(total, rows, buffer)
            return result

        return sum(self._in_blocks(losses))

    def effects(self) -> np.ndarray:
        """Return the derivative (N, P) of each pair's loss with respect to a factor 1 on each channel's map.

        All channels are present. The derivative is Σ ∂C/∂a · a over the map. Max pooling passes the gradient only to
        the largest value of each window, which is the pooled value, so the sum over the pooled map is the same.
        """
        result = np.empty((len(self.labels), self.channels))
        whole = self.head.weights_of(np.arange(self.channels))

        def work(rows: slice) -> None:
            inputs = self.features[rows].reshape(-1, len(whole))
            hidden = [np.maximum(inputs @ whole + self.head.bias, 0)]
            for weight, bias in self.head.rest[:-1]:
                hidden.append(np.maximum(hidden[-1] @ weight + bias, 0))
            weight, bias = self.head.rest[-1]
            output = hidden[-1] @ weight + bias
            # Gradient of the cross-entropy: the softmax minus the one-hot label.
            gradient = np.exp(output - np.logaddexp(output[:, :1], output[:, 1:]))
            gradient[np.arange(len(gradient)), self.labels[rows]] -= 1
            for (weight, _), active in zip(reversed(self.head.rest), reversed(hidden)):
                gradient = (gradient @ weight.T) * (active > 0)
            by_position = (gradient @ whole.T) * inputs
            result[rows] = by_position.reshape(len(gradient), self.channels, -1).sum(axis=2, dtype=np.float64)

        self._in_blocks(work)
        return result
