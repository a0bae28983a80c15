"""The linear layers on stored features, for the first K channels of a ranking removed. Numpy alone: no torch.

What the first linear layer adds up is a sum over channels, and a ranking's networks are nested: the one for
K holds the channels of the one for K + 1 and one more. So all K cost little more than one. Channels are added
from the ranking's end, never subtracted, so nothing that was removed leaves a rounding error behind.

For each K the additions have one fixed order: whole groups of GROUP places of the ranking from its end down,
one matrix product each, then channel by channel. It depends neither on which other K are computed, nor on
where the sum starts from (`partial_sums`), nor on threads, which divide pairs: the same bytes in every case.
K = 0, the unpruned network, is summed in the order of channel numbers and so the same in every ranking.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from prunecurve.cost import layer_names

# Places of a ranking that one matrix product adds up. More are faster for one K, fewer for all.
GROUP = 8
# Places between two stored sums, a multiple of GROUP: from one, an evaluation of K > 0 adds up no more than these.
STORED = 32
# Pairs that are handled at once: what they need stays in a core's cache.
ROWS = 512

Result = TypeVar("Result")


class Head:
    """The linear layers of one network.

    weights: those of `network.save_weights`; `linear1.weight` (H, P · h · w), flattened channel by channel.
    """

    def __init__(self, weights: Mapping[str, np.ndarray], channels: int) -> None:
        first, *rest = layer_names(weights, "linear")
        self.hidden = len(weights[f"{first}.weight"])
        self.blocks = weights[f"{first}.weight"].reshape(self.hidden, channels, -1)
        self.bias = weights[f"{first}.bias"]
        self.rest = [(weights[f"{name}.weight"].T, weights[f"{name}.bias"]) for name in rest]

    def weights_of(self, channels: np.ndarray) -> np.ndarray:
        """The first layer's weights of these channels, transposed: (channels · h · w, H), each row in one piece."""
        # Else a single channel would give a transposed view and several a copy: BLAS adds these up in different orders.
        return np.ascontiguousarray(self.blocks[:, channels].transpose(1, 2, 0).reshape(-1, self.hidden))

    def folded(self, order: np.ndarray, stand_in: np.ndarray) -> np.ndarray | None:
        """What the removed channels' stand-ins add to the first layer's outputs for each K (P, H); None if nothing.

        stand_in: (P, h, w), the map in the place of each removed channel. Summed in float64.
        """
        if not stand_in.any():
            return None
        constants = stand_in.reshape(len(order), -1).astype(np.float64)
        each = np.einsum("hcp,cp->ch", self.blocks.astype(np.float64), constants)
        added = np.zeros((len(order), self.hidden))
        np.cumsum(each[order[:-1]], axis=0, out=added[1:])
        return added.astype(np.float32)

    def logits_of(self, hidden: np.ndarray, buffer: np.ndarray) -> np.ndarray:
        """Logits (n, 2) of the first layer's outputs (n, H) before ReLU; `buffer` (n, H) may be the same array."""
        x = np.maximum(hidden, 0, out=buffer)
        for i, (weight, bias) in enumerate(self.rest, start=1):
            x = x @ weight
            x += bias
            if i < len(self.rest):
                np.maximum(x, 0, out=x)
        return x


class _Sum:
    """The first layer's outputs for some pairs: its bias and, from the ranking's end down, what channels contribute."""

    def __init__(
        self, features: np.ndarray, order: np.ndarray, weights: np.ndarray, low: int, at: int, start: np.ndarray
    ) -> None:
        """features: (n, P, h · w). weights: those of `Head.weights_of` for the places from `low` up to `at`.

        start: the sum (n, H), or one for all pairs, that holds the places from `at` up already.
        """
        self.features, self.order, self.weights, self.low = features, order, weights, low
        self.area, outputs = features.shape[2], weights.shape[1]
        # `whole` is the sum of all whole groups above place `at`, `partial` that and single channels down to `below`.
        self.at, self.below = at, at
        self.whole, self.partial, self.product = np.empty((3, len(features), outputs), np.float32)
        self.whole[:] = start
        self.partial[:] = start
        self.group: tuple[int, np.ndarray] = (-1, features)

    def down_to(self, place: int) -> np.ndarray:
        """The sum (n, H) with the places from `place` up; places must fall from call to call."""
        boundary = min(-(-place // GROUP) * GROUP, self.at)
        while self.at > boundary:
            start = (self.at - 1) // GROUP * GROUP
            self._add(self.whole, start, self.at)
            self.at = start
            self.partial[:] = self.whole
            self.below = start
        while self.below > place:
            self.below -= 1
            self._add(self.partial, self.below, self.below + 1)
        return self.partial

    def _add(self, total: np.ndarray, start: int, stop: int) -> None:
        first = start // GROUP * GROUP
        if self.group[0] != first:
            # All products of a group read the same block of memory, whatever is asked for.
            channels = self.order[first : min(first + GROUP, len(self.order))]
            self.group = first, np.take(self.features, channels, axis=1).reshape(len(self.features), -1)
        columns = slice((start - first) * self.area, (stop - first) * self.area)
        rows = slice((start - self.low) * self.area, (stop - self.low) * self.area)
        total += np.dot(self.group[1][:, columns], self.weights[rows], out=self.product)


def in_threads(work: Callable[..., Result], threads: int, *arguments: Iterable) -> list[Result]:
    """`map`'s results in order, from `threads` threads; numpy lets go of Python's lock in its loops."""
    if threads == 1:
        return list(map(work, *arguments))
    # Imported here: the evaluation jobs have one thread, and no time for this.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, *arguments))


def over_pairs(work: Callable[[slice], None], pairs: int, threads: int = 1) -> None:
    """Do the work for each block of ROWS pairs, in `threads` threads."""
    in_threads(work, threads, [slice(start, min(start + ROWS, pairs)) for start in range(0, pairs, ROWS)])


def starting_place(k: int, channels: int) -> int:
    """The place whose stored sum the evaluation of K = k > 0 starts from; `channels` if it starts from nothing."""
    return min(-(-k // STORED) * STORED, channels)


def _flat(features: np.ndarray) -> np.ndarray:
    return features.reshape(*features.shape[:2], -1)


def partial_sums_shape(features: np.ndarray, head: Head) -> tuple[int, int, int]:
    """(⌈P / STORED⌉ − 1, N, H)."""
    pairs, channels = features.shape[:2]
    return -(-channels // STORED) - 1, pairs, head.hidden


def partial_sums(
    features: np.ndarray, head: Head, order: np.ndarray, threads: int = 1, out: np.ndarray | None = None
) -> np.ndarray:
    """The sums that evaluations start from, float32 of `partial_sums_shape`; `out`, if given, takes them in.

    The i-th is the bias and the places from (i + 1) · STORED up. features: (N, P, h, w). order: a ranking (P,), the
    first to be pruned first.
    """
    sums = np.empty(partial_sums_shape(features, head), np.float32) if out is None else out
    features, channels = _flat(features), len(order)
    places = range(STORED, channels, STORED)
    low = min(places, default=channels)
    weights = head.weights_of(order[low:])

    def work(rows: slice) -> None:
        total = _Sum(features[rows], order, weights, low, channels, head.bias)
        for place in reversed(places):
            sums[place // STORED - 1, rows] = total.down_to(place)

    over_pairs(work, len(features), threads)
    return sums


def logits(
    features: np.ndarray,
    head: Head,
    order: np.ndarray,
    ks: Sequence[int],
    stand_in: np.ndarray,
    stored: np.ndarray | None = None,
    threads: int = 1,
) -> np.ndarray:
    """Logits (len(ks), N, 2), float32, of the networks without the first k channels of a ranking, for each k of ks.

    features: (N, P, h, w). order: (P,), the first to be pruned first. stand_in: (P, h, w), the map in the
    place of each removed channel. stored: the `partial_sums` of the ranking, which save most of the additions.
    """
    features, channels = _flat(features), len(order)
    folded = head.folded(order, stand_in)
    found = np.empty((len(ks), len(features), 2), np.float32)
    pruned = sorted((k for k in ks if k > 0), reverse=True)
    place_of = {k: place for place, k in enumerate(ks)}
    start = starting_place(pruned[0], channels) if pruned and stored is not None else channels
    low = min(pruned, default=channels) // GROUP * GROUP
    weights = head.weights_of(order[low:start])
    by_number = np.arange(channels)
    unpruned = head.weights_of(by_number) if 0 in place_of else None

    def work(rows: slice) -> None:
        begun = head.bias if start == channels else stored[start // STORED - 1, rows]
        total = _Sum(features[rows], order, weights, low, start, begun)
        buffer = np.empty_like(total.partial)

        def result(k: int, hidden: np.ndarray) -> None:
            if folded is not None:
                hidden = np.add(hidden, folded[k], out=buffer)
            found[place_of[k], rows] = head.logits_of(hidden, buffer)

        for k in pruned:
            result(k, total.down_to(k))
        if unpruned is not None:
            result(0, _Sum(features[rows], by_number, unpruned, 0, channels, head.bias).down_to(0))

    over_pairs(work, len(features), threads)
    return found
