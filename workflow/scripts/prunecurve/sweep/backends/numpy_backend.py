"""The backend for linear layers on stored features, with the first K channels of a ranking removed. Imports no torch.

The output of the first linear layer (before its activation) is a sum over channels. The networks of a ranking are
nested: the network for K contains the channels of the network for K + 1 and one more. So all K together cost little
more than one K. Channels are added from the end of the ranking and never subtracted, so removed channels leave no
rounding error.

For each K, the order of the additions is fixed: first whole groups of GROUP places, from the end of the ranking
towards its start, one matrix product per group; then single channels. The order depends neither on which other K
are computed, nor on the stored sum it starts from (`partial_sums`), nor on the number of threads (each thread has
its own pairs). So the result is byte-identical in every case. For K = 0, the unpruned network, channels are added
in the order of their numbers, so its result is the same for every ranking.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from prunecurve.graph.layer_file import LayerFile
from prunecurve.sweep.activation_functions import ACTIVATIONS
from prunecurve.sweep.threads import in_threads

# Places of a ranking that one matrix product sums. A larger group is faster for one K, a smaller one for all K.
GROUP = 8
# Places between two stored sums, a multiple of GROUP. With stored sums, an evaluation of K > 0 adds at most this many.
STORED = 32
# Pairs per block, at most: the sums of one block fit into a core's cache.
ROWS = 256
# Rows that BLAS computes at once, or a multiple of them. ROWS is a multiple of TILE.
TILE = 16


class Backend:
    """The linear layers behind a pruned layer.

    layer: its file. The first of its linear layers has the weights (H, P · h · w), channel by channel. The other
    arguments of a backend are not needed.
    """

    def __init__(self, layer: LayerFile, *unused: object) -> None:
        first, *later = layer.linears
        self.hidden, self.classes = len(first.weight), layer.classes
        self.blocks = first.weight.reshape(self.hidden, layer.channels, -1)
        self.bias = first.bias
        self.later = [(linear.weight.T, linear.bias) for linear in later]
        # Of each linear layer, the first included.
        self.activations = [(ACTIVATIONS[linear.activation], linear.slope) for linear in layer.linears]

    def weights_of(self, channels: np.ndarray) -> np.ndarray:
        """Return the first layer's weights for these channels, transposed and contiguous: (channels · h · w, H)."""
        # Without the copy, one channel would give a transposed view and several a copy; BLAS sums them in different
        # orders.
        return np.ascontiguousarray(self.blocks[:, channels].transpose(1, 2, 0).reshape(-1, self.hidden))

    def sums_shape(self, features: np.ndarray) -> tuple[int, int, int]:
        """Return the shape of `partial_sums`: (⌈P / STORED⌉ − 1, N, H)."""
        return -(-features.shape[1] // STORED) - 1, len(features), self.hidden

    def partial_sums(self, features: np.ndarray, order: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Return the sums that evaluations start from, float32 with the shape of `sums_shape`.

        The i-th is the bias plus the places from (i + 1) · STORED to the end. features: (N, P, h, w). order: a ranking
        (P,), in the order of removal. out: an array for the result, if given.
        """
        sums = np.empty(self.sums_shape(features), np.float32) if out is None else out
        features, channels = features.reshape(*features.shape[:2], -1), len(order)
        places = range(STORED, channels, STORED)
        low = min(places, default=channels)
        weights = self.weights_of(order[low:])

        def work(rows: slice) -> None:
            total = _Sum(features[rows], order, weights, low, channels, self.bias)
            for place in reversed(places):
                sums[place // STORED - 1, rows] = total.down_to(place)

        over_pairs(work, len(features))
        return sums

    def logits(
        self,
        features: np.ndarray,
        order: np.ndarray,
        ks: Sequence[int],
        replacement: np.ndarray,
        stored: np.ndarray | None = None,
        threads: int = 1,
        refits: Sequence[Any] = (),
    ) -> np.ndarray:
        """Return the logits (len(ks), N, C), float32, of the networks without the first k channels of a ranking.

        features: (N, P, h, w). order: a ranking (P,), in the order of removal. ks: the values of k. replacement: the
        replacement maps (P, h, w). stored: the `partial_sums` of the ranking, which save most of the additions. refits:
        the `Refit` of the first linear layer, if its weights are refitted for each k > 0.
        """
        if refits:
            return self._refitted(features, order, ks, threads, *refits)
        features, channels = features.reshape(*features.shape[:2], -1), len(order)
        result = np.empty((len(ks), len(features), self.classes), np.float32)
        folded = self._folded(order, replacement)
        pruned = sorted(((k, place) for place, k in enumerate(ks) if k), reverse=True)
        unpruned = [place for place, k in enumerate(ks) if not k]
        start = channels
        if pruned and stored is not None:
            start = min(-(-pruned[0][0] // STORED) * STORED, channels)
        low = pruned[-1][0] // GROUP * GROUP if pruned else channels
        weights, by_number = self.weights_of(order[low:start]), np.arange(channels)
        weights_by_number = self.weights_of(by_number) if unpruned else weights

        def work(rows: slice) -> None:
            begun = self.bias if stored is None or start == channels else stored[start // STORED - 1, rows]
            total = _Sum(features[rows], order, weights, low, start, begun)
            forward = Forward(self, len(total.whole))
            for k, place in pruned:
                hidden = total.down_to(k)
                if folded is not None:
                    hidden = np.add(hidden, folded[k], out=forward.hidden)
                result[place, rows] = forward.logits(hidden)
            if unpruned:
                whole = _Sum(features[rows], by_number, weights_by_number, 0, channels, self.bias)
                result[unpruned, rows] = forward.logits(whole.down_to(0))

        over_pairs(work, len(features), threads)
        return result

    def _refitted(
        self, features: np.ndarray, order: np.ndarray, ks: Sequence[int], threads: int, refit: Any
    ) -> np.ndarray:
        """Return the logits with refitted weights: the sums over channels, in the basis where they are cut off."""
        weight = self.blocks.reshape(self.hidden, -1).T.astype(np.float64)
        small, coefficients = copy.copy(self), np.empty_like(refit.reader.weight)
        coefficients[refit.units] = refit.coefficients(weight)
        small.blocks = np.ascontiguousarray(coefficients.reshape(weight.shape).T, np.float32).reshape(self.blocks.shape)
        small.bias = (self.bias + refit.reader.mean.ravel() @ weight).astype(np.float32)
        changed = np.empty(features.shape, np.float32)
        units = changed.reshape(len(features), *refit.reader.mean.shape)

        def work(rows: slice) -> None:
            units[rows, refit.units] = refit.basis(features[rows])

        over_pairs(work, len(features), threads)
        none, pruned = np.zeros(features.shape[1:], np.float32), [k for k in ks if k]
        logits = iter(small.logits(changed, order, pruned, none, threads=threads))
        unpruned = iter(self.logits(features, order, [0], none, threads=threads) if 0 in ks else ())
        return np.stack([next(logits if k else unpruned) for k in ks])

    def _folded(self, order: np.ndarray, replacement: np.ndarray) -> np.ndarray | None:
        """Return what the replacement maps of the removed channels add to the first layer's outputs, for each K.

        replacement: the replacement maps (P, h, w). Returns float32 (P, H), summed in float64, or None if all are zero.
        """
        if not replacement.any():
            return None
        constants = replacement.reshape(len(order), -1).astype(np.float64)
        each = np.einsum("hcp,cp->ch", self.blocks.astype(np.float64), constants)
        added = np.zeros((len(order), self.hidden))
        np.cumsum(each[order[:-1]], axis=0, out=added[1:])
        return added.astype(np.float32)


class Forward:
    """The layers after the first linear layer, for blocks of n pairs.

    Its arrays are allocated once: to allocate them for each K would take as long as an addition.
    """

    def __init__(self, backend: Backend, n: int) -> None:
        (first, self.slope), *activations = backend.activations
        self.function, self.hidden = first.function, np.empty((n, backend.hidden), np.float32)
        # The bias once per row: to add one row to all rows takes three times as long.
        self.layers = [
            (weight, np.tile(bias, (n, 1)), activation.function, slope, np.empty((n, len(bias)), np.float32))
            for (weight, bias), (activation, slope) in zip(backend.later, activations)
        ]

    def logits(self, hidden: np.ndarray) -> np.ndarray:
        """Return the logits (n, C), given the first layer's outputs (n, H) before its activation.

        The next call overwrites the logits.
        """
        x = self.function(hidden, self.hidden, self.slope)
        for weight, bias, function, slope, output in self.layers:
            x = np.dot(x, weight, out=output)
            x += bias
            x = function(x, x, slope)
        return x


class _Sum:
    """The first layer's outputs for some pairs: the bias, plus the channels from the end of the ranking on."""

    def __init__(
        self, features: np.ndarray, order: np.ndarray, weights: np.ndarray, low: int, at: int, start: np.ndarray
    ) -> None:
        """Start with a sum that already contains the places from `at` to the end of the ranking.

        features: (n, P, h · w). weights: the result of `Backend.weights_of` for the places low … at − 1.
        start: this sum, (n, H), or (H,) if it is the same for all pairs.
        """
        self.features, self.order, self.weights, self.low = features, order, weights, low
        # `whole` sums the whole groups from place `at` on; `sum` is the sum from place `below` on.
        self.at, self.below = at, at
        self.whole, self.partial, self.product = np.empty((3, len(features), weights.shape[1]), np.float32)
        self.whole[:] = start
        self.sum = self.whole
        self.group: tuple[int, np.ndarray] = (-1, features)

    def down_to(self, place: int) -> np.ndarray:
        """Return the sum (n, H) of the places from `place` to the end. `place` must not increase from call to call.

        The next call overwrites the array.
        """
        boundary = min(-(-place // GROUP) * GROUP, self.at)
        while self.at > boundary:
            start = (self.at - 1) // GROUP * GROUP
            self.whole += self._product(start, self.at)
            self.at = self.below = start
            self.sum = self.whole
        while self.below > place:
            self.below -= 1
            self.sum = np.add(self.sum, self._product(self.below, self.below + 1), out=self.partial)
        return self.sum

    def _product(self, start: int, stop: int) -> np.ndarray:
        first, area = start // GROUP * GROUP, self.features.shape[2]
        if self.group[0] != first:
            # All products of a group read the same block of memory, so that BLAS always sums in the same order.
            channels = self.order[first : min(first + GROUP, len(self.order))]
            self.group = first, np.take(self.features, channels, axis=1).reshape(len(self.features), -1)
        columns = slice((start - first) * area, (stop - first) * area)
        rows = slice((start - self.low) * area, (stop - self.low) * area)
        return np.dot(self.group[1][:, columns], self.weights[rows], out=self.product)


def over_pairs(work: Callable[[slice], None], pairs: int, threads: int = 1) -> None:
    """Call `work` for each block of at most ROWS pairs, in `threads` threads.

    Blocks are of nearly equal size, and all but the last are multiples of TILE. BLAS uses a different order for a
    small matrix and for the rows that remain next to whole tiles, so logits would depend on the size of the blocks.
    """
    blocks, tiles = -(-pairs // ROWS), -(-pairs // TILE)
    edges = [min(block * tiles // blocks * TILE, pairs) for block in range(blocks + 1)]
    in_threads(work, threads, list(map(slice, edges, edges[1:])))
