"""Evaluations: the networks with the first K channels of a ranking removed. Imports numpy alone."""

from collections.abc import Sequence

import numpy as np

from prunecurve.cost import cost, layer_names
from prunecurve.errors import StudyError
from prunecurve.files import load_array, load_arrays
from prunecurve.head import Head, in_threads, logits, partial_sums_shape
from prunecurve.metrics import measure
from prunecurve.removal import REMOVALS


def kept_channels(order: np.ndarray, k: int) -> np.ndarray:
    """The channels left after removing the first k of a ranking, sorted by number."""
    return np.sort(order[k:])


def checked_ks(channels: int) -> list[int]:
    """The K at which surgery checks the sweep: both ends and the quarters between."""
    return sorted({0, 1, channels // 4, channels // 2, 3 * channels // 4, channels - 1} & set(range(channels)))


class Evaluator:
    """All that the evaluations of one network share, read from its artifacts.

    features: the split's pooled maps (N, P, h, w), memory-mapped; pairs: (N, 3) with the labels;
    mean_features: (P, h, w) over the ranking split, for mean_replacement alone.
    """

    def __init__(self, features: str, pairs: str, weights: str, mean_features: str | None = None) -> None:
        self.weights = load_arrays(weights)
        self.features = load_array(features, shape=(None, None, None, None), mapped=True)
        self.labels = load_array(pairs, shape=(len(self.features), 3))[:, 2]
        # Not a number where there are none, so that a removal that needs them can't go on without.
        missing = np.full(self.features.shape[1:], np.nan, np.float32)
        self.mean_features = load_array(mean_features, shape=missing.shape) if mean_features else missing
        self.channels = self.features.shape[1]
        self.head = Head(self.weights, self.channels)

    def stored_sums(self, path: str) -> np.ndarray:
        """A ranking's `head.partial_sums`, memory-mapped."""
        return load_array(path, shape=partial_sums_shape(self.features, self.head), mapped=True)

    def logits(
        self, order: np.ndarray, ks: Sequence[int], removal: str, stored: np.ndarray | None = None, threads: int = 1
    ) -> np.ndarray:
        """Logits (len(ks), N, 2) of the networks without the first k channels of the ranking; see `head.logits`."""
        if len(set(ks)) < len(ks):
            raise StudyError(f"sweep.ks: some K are given twice: {', '.join(map(str, ks))}")
        for k in ks:
            if not 0 <= k < self.channels:
                last = self.channels - 1
                raise StudyError(f"sweep.ks: K = {k} is outside 0 … {last} (the layer has {self.channels} channels)")
        stand_in = REMOVALS[removal].stand_in(self.weights, self.mean_features)
        if np.isnan(stand_in).any():
            raise StudyError(f"removal {removal} needs the mean pooled maps, and --mean-features gives none")
        return logits(self.features, self.head, order, ks, stand_in, stored, threads)

    def rows(
        self, order: np.ndarray, ks: Sequence[int], removal: str, stored: np.ndarray | None = None, threads: int = 1
    ) -> list[dict[str, object]]:
        """The row of each K: the metrics, and the size of the network.

        compression_ratio is parameters before over after, theoretical_speedup MACs before over after (Blalock 2020).
        """
        found = self.logits(order, ks, removal, stored, threads)
        before = cost(self.weights, self.channels)
        filters = self.weights[f"{layer_names(self.weights, 'conv')[-1]}.weight"].shape[1:]

        def row(k: int, of_k: np.ndarray) -> dict[str, object]:
            in_network = self.channels - k if REMOVALS[removal].smaller else self.channels
            after = cost(self.weights, in_network)
            return {
                "k": k,
                "channels_left": self.channels - k,
                **measure(of_k, self.labels),
                **after,
                "compression_ratio": before["params"] / after["params"],
                "theoretical_speedup": before["macs"] / after["macs"],
                "conv_weight_shape": "x".join(map(str, (in_network, *filters))),
            }

        return in_threads(row, threads, ks, found)
