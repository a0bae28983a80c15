"""The loss of a network without one channel more, for each channel: exact evaluation, without another forward pass.

A candidate costs one product of its own maps, one subtraction, and the last, small layers.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from prunecurve.head import Head

# Pairs that are handled at once: what they need stays in a core's cache.
ROWS = 256


class Losses:
    """The network without the channels removed so far, and its loss without each further one.

    features: float32 (N, P, h, w), the head's inputs; labels: (N,), 1 for same. The loss is the cross-entropy
    in nats, its mean over the pairs of each class averaged over the two: class-balanced. Use it in a `with`.
    """

    def __init__(self, features: np.ndarray, labels: np.ndarray, head: Head, threads: int = 1) -> None:
        self.head = head
        self.features = features.reshape(*features.shape[:2], -1)
        self.left = list(range(features.shape[1]))
        self.weights = [head.weights_of(np.array([c])) for c in self.left]
        same = labels.astype(bool)
        # A pair's loss is log(1 + exp(sign · margin)); in the balanced mean it counts one over twice its class's size.
        self.sign = np.where(same, -1.0, 1.0)
        self.share = 0.5 / np.where(same, max(same.sum(), 1), max((~same).sum(), 1))
        self.blocks = [slice(start, start + ROWS) for start in range(0, len(labels), ROWS)]
        self.pool = ThreadPoolExecutor(threads)
        # In float64, so that subtracting a channel takes away all of what adding it brought.
        self.total = np.tile(head.bias.astype(np.float64), (len(labels), 1))
        list(self.pool.map(self._add_all, self.blocks))

    def __enter__(self) -> "Losses":
        return self

    def __exit__(self, *error: object) -> None:
        self.pool.shutdown()

    def _contribution(self, channel: int, rows: slice) -> np.ndarray:
        return np.ascontiguousarray(self.features[rows, channel]) @ self.weights[channel]

    def _add_all(self, rows: slice) -> None:
        for channel in self.left:
            self.total[rows] += self._contribution(channel, rows)

    def _loss(self, hidden: np.ndarray, rows: slice) -> float:
        found = self.head.logits_of(hidden, hidden)
        margin = (found[:, 1] - found[:, 0]).astype(np.float64) * self.sign[rows]
        return float(np.logaddexp(0.0, margin) @ self.share[rows])

    def _without_each(self, rows: slice) -> np.ndarray:
        # The total as a float32 and what that leaves out: subtracting from a pair is as exact as float64, and faster.
        high = self.total[rows].astype(np.float32)
        low = (self.total[rows] - high).astype(np.float32)
        losses = np.empty(len(self.left))
        for i, channel in enumerate(self.left):
            hidden = self._contribution(channel, rows)
            np.subtract(high, hidden, out=hidden)
            hidden += low
            losses[i] = self._loss(hidden, rows)
        return losses

    def now(self) -> float:
        """The loss of the network as it is."""
        return sum(self.pool.map(lambda rows: self._loss(self.total[rows].astype(np.float32), rows), self.blocks))

    def without_each(self) -> np.ndarray:
        """The loss (len(left),) without each of the channels that are left, in order of their numbers."""
        return sum(self.pool.map(self._without_each, self.blocks))

    def remove(self, channel: int) -> None:
        """Take a channel out for good."""
        self.left.remove(channel)
        for rows in self.blocks:
            self.total[rows] -= self._contribution(channel, rows)


def greedy_order(losses: Losses) -> np.ndarray:
    """All channels (P,) in the order of greedy removal: always the one without which the loss is lowest.

    Ties go by channel number. P (P + 1) / 2 − 1 evaluations.
    """
    order = []
    while len(losses.left) > 1:
        order.append(losses.left[int(np.argmin(losses.without_each()))])
        losses.remove(order[-1])
    return np.array([*order, *losses.left])
