"""Entropy of the binned activation, each map averaged to one value (Luo & Wu 2017).

A channel that says much the same for every pair, however loudly, has little.
"""

import numpy as np

from prunecurve.criteria import Layer

READS = ("maps",)
KNOBS = ("entropy_bins",)


def score(layer: Layer) -> np.ndarray:
    """(P,): Σ p log 1/p in nats over `ranking.entropy_bins` equal bins between a channel's lowest and highest value."""
    means = layer.maps.mean(axis=(2, 3), dtype=np.float64)
    return np.array([_entropy(values, int(layer.knobs["entropy_bins"])) for values in means.T])


def _entropy(values: np.ndarray, bins: int) -> float:
    # A channel that is the same everywhere, but for rounding, fills one bin.
    if np.ptp(values) <= bins * np.spacing(np.abs(values).max()):
        return 0.0
    counts, _ = np.histogram(values, bins)
    share = counts[counts > 0] / len(values)
    return float((share * np.log(1 / share)).sum())
