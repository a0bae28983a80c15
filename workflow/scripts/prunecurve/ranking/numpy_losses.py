"""The exact loss of a network without some channels of a layer that only linear layers follow, in numpy.

The output of the first linear layer (before its activation) is a sum over channels. For a network that differs by one
channel, it is enough to compute that channel's term, subtract it, and run the remaining, small layers.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from prunecurve.ranking.validation_set import ValidationSet
from prunecurve.sweep.head import IDENTITY, Forward, Head

# Pairs per block: the data of one block fits into a core's cache.
ROWS = 256


class Losses:
    """A network without the channels removed so far: its loss, and its loss with one channel more or less.

    The loss is the class-balanced cross-entropy in nats: the mean over the inputs of each class, averaged over the
    classes. Use the object in a `with` statement.
    """

    def __init__(self, validation: ValidationSet) -> None:
        self.channels = validation.features.shape[1]
        self.head = Head(validation.layer)
        self.features = validation.features.reshape(*validation.features.shape[:2], -1)
        self.left = list(range(self.channels))
        self.weights = [self.head.weights_of(np.array([c])) for c in self.left]
        self.labels, self.shares = validation.labels.astype(np.int64), validation.shares
        # With two classes, a pair's loss is log(1 + exp(sign · margin)).
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

    def _loss(self, hidden: np.ndarray, rows: slice, forward: Forward) -> float:
        logits = forward.logits(hidden)
        if self.head.classes == 2:
            # Half the time of the general formula, and these losses are most of the time of a greedy search.
            each = np.logaddexp(0.0, (logits[:, 1] - logits[:, 0]).astype(np.float64) * self.sign[rows])
        else:
            wide, labels = logits.astype(np.float64), self.labels[rows]
            each = np.logaddexp.reduce(wide, axis=1) - wide[np.arange(len(wide)), labels]
        return float(each @ self.shares[rows])

    def _with_change(self, change: np.ufunc, channels: Sequence[int]) -> np.ndarray:
        def losses(rows: slice) -> np.ndarray:
            # The float64 total as the sum of two float32 arrays: about as exact as float64, and faster.
            high = self.total[rows].astype(np.float32)
            low = (self.total[rows] - high).astype(np.float32)
            result, forward = np.empty(len(channels)), Forward(self.head, len(high))
            for i, channel in enumerate(channels):
                hidden = self._contribution(channel, rows)
                change(high, hidden, out=hidden)
                hidden += low
                result[i] = self._loss(hidden, rows, forward)
            return result

        return sum(self._in_blocks(losses))

    def now(self) -> float:
        """Return the loss of the current network."""

        def loss(rows: slice) -> float:
            total = self.total[rows].astype(np.float32)
            return self._loss(total, rows, Forward(self.head, len(total)))

        return sum(self._in_blocks(loss))

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
            forward = Forward(self.head, len(each[0]))
            for i, order in enumerate(orders):
                # Channels are added from the end of the order, so removed channels leave no rounding error.
                total = np.tile(self.head.bias, (len(each[0]), 1))
                result[i, -1] = self._loss(total, rows, forward)
                for place in range(self.channels - 1, -1, -1):
                    total += each[order[place]]
                    result[i, place] = self._loss(total, rows, forward)
            return result

        return sum(self._in_blocks(losses))

    def effects(self) -> np.ndarray:
        """Return the derivative (N, P) of each pair's loss with respect to a factor 1 on each channel's map.

        All channels are present. The factor is on the maps that the first linear layer reads, and the derivative is
        Σ ∂C/∂a · a over the map. Max pooling passes the gradient only to the largest value of each window, which is the
        pooled value, and average pooling shares it, so a factor before pooling has the same derivative.
        """
        result = np.empty((len(self.labels), self.channels))
        whole = self.head.weights_of(np.arange(self.channels))

        def work(rows: slice) -> None:
            inputs = self.features[rows].reshape(-1, len(whole))
            by_position = (self._gradient(inputs, whole, self.labels[rows]) @ whole.T) * inputs
            result[rows] = by_position.reshape(len(inputs), self.channels, -1).sum(axis=2, dtype=np.float64)

        self._in_blocks(work)
        return result

    def _gradient(self, inputs: np.ndarray, whole: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the derivative (n, H) of each pair's loss with respect to the first linear layer's outputs.

        inputs: (n, P · h · w). whole: the first layer's weights (P · h · w, H).
        """
        weights, values = [whole, *(weight for weight, _ in self.head.later)], [inputs]
        biases = [self.head.bias, *(bias for _, bias in self.head.later)]
        for weight, bias, (activation, slope) in zip(weights, biases, self.head.activations):
            x = values[-1] @ weight + bias
            values.append(activation.function(x, x, slope))
        # Of the cross-entropy: the softmax minus the one-hot label.
        gradient = np.exp(values[-1] - np.logaddexp.reduce(values[-1], axis=1, keepdims=True))
        gradient[np.arange(len(gradient)), labels] -= 1
        for i in range(len(weights) - 1, -1, -1):
            activation, slope = self.head.activations[i]
            if activation is not IDENTITY:
                gradient = gradient * activation.derivative(values[i + 1], slope)
            gradient = gradient @ weights[i].T if i else gradient
        return gradient
