"""The exact loss of a network without some channels of a layer that only linear layers follow, in numpy.

The output of the first linear layer (before its activation) is a sum over channels. For a network that differs by one
channel, it is enough to compute that channel's term, subtract it, and run the remaining, small layers.
"""

from collections.abc import Callable, Sequence

import numpy as np

from prunecurve.ranking.validation_set import ValidationSet
from prunecurve.sweep.backends.numpy_backend import Backend, Forward
from prunecurve.sweep.threads import in_threads

# Pairs per block: the data of one block fits into a core's cache.
ROWS = 256


class Losses:
    """A network without the channels of a layer that are removed so far: its loss, and its loss after a change.

    A change of a channel removes it or, if it is removed, restores it. The loss is the class-balanced cross-entropy in
    nats: the mean over the inputs of each class, averaged over the classes. left: the remaining channels, ascending.
    """

    def __init__(self, validation: ValidationSet) -> None:
        self.channels, self.threads = validation.layer.channels, validation.threads
        self.backend: Backend = validation.backend
        self.features = validation.features.reshape(*validation.features.shape[:2], -1)
        self.left = list(range(self.channels))
        self.weights = [self.backend.weights_of(np.array([c])) for c in self.left]
        self.labels, self.shares = validation.labels.astype(np.int64), validation.shares
        # With two classes, a pair's loss is log(1 + exp(sign · margin)).
        self.sign = np.where(self.labels == 1, -1.0, 1.0)
        # float64, so that subtracting a channel leaves no noticeable rounding error.
        self.total = np.tile(self.backend.bias.astype(np.float64), (len(self.labels), 1))

        def add_all(rows: slice) -> None:
            for channel in self.left:
                self.total[rows] += self._contribution(channel, rows)

        self._in_blocks(add_all)

    def _in_blocks(self, work: Callable[[slice], object]) -> list:
        blocks = [slice(start, start + ROWS) for start in range(0, len(self.labels), ROWS)]
        return in_threads(work, self.threads, blocks)

    def _contribution(self, channel: int, rows: slice) -> np.ndarray:
        return np.ascontiguousarray(self.features[rows, channel]) @ self.weights[channel]

    def _loss(self, hidden: np.ndarray, rows: slice, forward: Forward) -> float:
        logits = forward.logits(hidden)
        if self.backend.classes == 2:
            # Half the time of the general formula, and these losses are most of the time of a greedy search.
            each = np.logaddexp(0.0, (logits[:, 1] - logits[:, 0]).astype(np.float64) * self.sign[rows])
        else:
            wide, labels = logits.astype(np.float64), self.labels[rows]
            each = np.logaddexp.reduce(wide, axis=1) - wide[np.arange(len(wide)), labels]
        return float(each @ self.shares[rows])

    def now(self) -> float:
        """Return the loss of the current network."""

        def loss(rows: slice) -> float:
            total = self.total[rows].astype(np.float32)
            return self._loss(total, rows, Forward(self.backend, len(total)))

        return sum(self._in_blocks(loss))

    def changed(self, channels: Sequence[int]) -> np.ndarray:
        """Return the loss (len(channels),) after a change of each of these channels alone."""
        changes = [np.subtract if channel in self.left else np.add for channel in channels]

        def losses(rows: slice) -> np.ndarray:
            # The float64 total as the sum of two float32 arrays: about as exact as float64, and faster.
            high = self.total[rows].astype(np.float32)
            low = (self.total[rows] - high).astype(np.float32)
            result, forward = np.empty(len(channels)), Forward(self.backend, len(high))
            for i, (channel, change) in enumerate(zip(channels, changes)):
                hidden = self._contribution(channel, rows)
                change(high, hidden, out=hidden)
                hidden += low
                result[i] = self._loss(hidden, rows, forward)
            return result

        return sum(self._in_blocks(losses))

    def change(self, channel: int) -> None:
        """Remove a channel, or restore it if it is removed."""
        sign = -1 if channel in self.left else 1

        def add(rows: slice) -> None:
            self.total[rows] += sign * self._contribution(channel, rows)

        self._in_blocks(add)
        self.left = sorted({*self.left} ^ {channel})

    def along(self, orders: np.ndarray) -> np.ndarray:
        """Return the losses (R, P + 1) without the first 0 … P channels of each order (R, P), whatever is removed."""

        def losses(rows: slice) -> np.ndarray:
            result = np.empty((len(orders), self.channels + 1))
            each = [self._contribution(channel, rows) for channel in range(self.channels)]
            forward = Forward(self.backend, len(each[0]))
            for i, order in enumerate(orders):
                # Channels are added from the end of the order, so removed channels leave no rounding error.
                total = np.tile(self.backend.bias, (len(each[0]), 1))
                result[i, -1] = self._loss(total, rows, forward)
                for place in range(self.channels - 1, -1, -1):
                    total += each[order[place]]
                    result[i, place] = self._loss(total, rows, forward)
            return result

        return sum(self._in_blocks(losses))

    def effects(self, means: np.ndarray | None = None) -> np.ndarray:
        """Return the derivative (N, P) of each pair's loss with respect to a factor 1 on each channel's map.

        All channels are present. The factor is on the maps that the first linear layer reads, and the derivative is
        Σ ∂C/∂a · a over the map. Max pooling passes the gradient only to the largest value of each window, which is the
        pooled value, and average pooling shares it, so a factor before pooling has the same derivative.

        means: (P, h, w), if the factor is on the deviation from these maps.
        """
        result = np.empty((len(self.labels), self.channels))
        weights = [self.backend.weights_of(np.arange(self.channels)), *(weight for weight, _ in self.backend.later)]
        biases = [self.backend.bias, *(bias for _, bias in self.backend.later)]
        layers = list(zip(weights, biases, self.backend.activations))

        def work(rows: slice) -> None:
            values = [self.features[rows].reshape(-1, len(weights[0]))]
            for weight, bias, (activation, slope) in layers:
                x = values[-1] @ weight + bias
                values.append(activation.function(x, x, slope))
            # Of the cross-entropy: the softmax minus the one-hot label.
            gradient = np.exp(values[-1] - np.logaddexp.reduce(values[-1], axis=1, keepdims=True))
            gradient[np.arange(len(gradient)), self.labels[rows]] -= 1
            for (weight, _, (activation, slope)), value in zip(layers[::-1], values[:0:-1]):
                gradient = (gradient * activation.derivative(value, slope)) @ weight.T
            deviation = values[0] if means is None else values[0] - means.reshape(-1)
            by_position = (gradient * deviation).reshape(len(gradient), self.channels, -1)
            result[rows] = by_position.sum(axis=2, dtype=np.float64)

        self._in_blocks(work)
        return result
