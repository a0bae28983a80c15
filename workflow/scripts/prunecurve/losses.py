"""The loss of a network without some channels of its last convolution: exact, and without a forward pass.

What the first linear layer adds up is a sum over channels. A network that differs by one channel costs one product
of that channel's maps, one subtraction, and the last, small layers.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from prunecurve.examples import Examples
from prunecurve.head import Head

# Pairs that are handled at once: what they need stays in a core's cache.
ROWS = 256


class Losses:
    """The network without the channels removed so far, its loss, and its loss with one channel more or less.

    The loss is the cross-entropy in nats, class-balanced: its mean over the pairs of each class, averaged over the
    two. Use it in a `with`.
    """

    def __init__(self, examples: Examples) -> None:
        self.channels = examples.features.shape[1]
        self.head = Head(examples.weights, self.channels)
        self.features = examples.features.reshape(*examples.features.shape[:2], -1)
        self.left = list(range(self.channels))
        self.weights = [self.head.weights_of(np.array([c])) for c in self.left]
        self.labels, self.shares = examples.labels.astype(np.int64), examples.shares
        # A pair's loss is log(1 + exp(sign · margin)).
        self.sign = np.where(self.labels == 1, -1.0, 1.0)
        self.blocks = [slice(start, start + ROWS) for start in range(0, len(self.labels), ROWS)]
        self.pool = ThreadPoolExecutor(examples.threads)
        # In float64, so that subtracting a channel takes away all of what adding it brought.
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
        found = self.head.logits_of(hidden, hidden if buffer is None else buffer)
        margin = (found[:, 1] - found[:, 0]).astype(np.float64) * self.sign[rows]
        return float(np.logaddexp(0.0, margin) @ self.shares[rows])

    def _with_change(self, change: np.ufunc, channels: Sequence[int]) -> np.ndarray:
        def losses(rows: slice) -> np.ndarray:
            # The total as a float32 and what that leaves out: as exact for a pair as float64, and faster.
            high = self.total[rows].astype(np.float32)
            low = (self.total[rows] - high).astype(np.float32)
            found = np.empty(len(channels))
            for i, channel in enumerate(channels):
                hidden = self._contribution(channel, rows)
                change(high, hidden, out=hidden)
                hidden += low
                found[i] = self._loss(hidden, rows)
            return found

        return sum(self._in_blocks(losses))

    def now(self) -> float:
        """The loss of the network as it is."""
        return sum(self._in_blocks(lambda rows: self._loss(self.total[rows].astype(np.float32), rows)))

    def without_each(self) -> np.ndarray:
        """The loss (len(left),) without each of the channels that are left, in order of their numbers."""
        return self._with_change(np.subtract, self.left)

    def with_each(self, channels: Sequence[int]) -> np.ndarray:
        """The loss (len(channels),) with each of some removed channels put back."""
        return self._with_change(np.add, channels)

    def remove(self, channel: int) -> None:
        """Take a channel out."""
        self.left.remove(channel)
        for rows in self.blocks:
            self.total[rows] -= self._contribution(channel, rows)

    def restore(self, channel: int) -> None:
        """Put a removed channel back."""
        self.left = sorted([*self.left, channel])
        for rows in self.blocks:
            self.total[rows] += self._contribution(channel, rows)

    def along(self, orders: np.ndarray) -> np.ndarray:
        """The losses (R, P + 1) of the networks without the first 0 … P channels of each order (R, P).

        Whatever was removed before is no matter here.
        """

        def losses(rows: slice) -> np.ndarray:
            found = np.empty((len(orders), self.channels + 1))
            each = [self._contribution(channel, rows) for channel in range(self.channels)]
            buffer = np.empty_like(each[0])
            for i, order in enumerate(orders):
                # Added up from the order's end: nothing of what is removed is left as a rounding error.
                total = np.tile(self.head.bias, (len(buffer), 1))
                found[i, -1] = self._loss(total, rows, buffer)
                for place in range(self.channels - 1, -1, -1):
                    total += each[order[place]]
                    found[i, place] = self._loss(total, rows, buffer)
            return found

        return sum(self._in_blocks(losses))

    def effects(self) -> np.ndarray:
        """The derivative (N, P) of each pair's loss by a factor on each channel's map, at 1, in the whole network.

        That is Σ over the map of ∂C/∂a · a. Pooling passes on the gradient of the largest value in each window, and
        that value is the pooled one, so the sum over the pooled map is the same.
        """
        found = np.empty((len(self.labels), self.channels))
        whole = self.head.weights_of(np.arange(self.channels))

        def work(rows: slice) -> None:
            inputs = self.features[rows].reshape(-1, len(whole))
            hidden = [np.maximum(inputs @ whole + self.head.bias, 0)]
            for weight, bias in self.head.rest[:-1]:
                hidden.append(np.maximum(hidden[-1] @ weight + bias, 0))
            weight, bias = self.head.rest[-1]
            output = hidden[-1] @ weight + bias
            # The softmax less what should have come out.
            gradient = np.exp(output - np.logaddexp(output[:, :1], output[:, 1:]))
            gradient[np.arange(len(gradient)), self.labels[rows]] -= 1
            for (weight, _), active in zip(reversed(self.head.rest), reversed(hidden)):
                gradient = (gradient @ weight.T) * (active > 0)
            by_position = (gradient @ whole.T) * inputs
            found[rows] = by_position.reshape(len(gradient), self.channels, -1).sum(axis=2, dtype=np.float64)

        self._in_blocks(work)
        return found
