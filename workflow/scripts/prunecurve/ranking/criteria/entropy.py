"""Entropy of the binned activation, with each map averaged to one value (Luo & Wu 2017).

A channel with nearly the same value for every pair has a low entropy, however large the value is.
"""

import numpy as np

from prunecurve.ranking.criteria import Layer

READS = ("maps",)
PARAMETERS = ("entropy_bins",)


def score(layer: Layer) -> np.ndarray:
    """Return Σ p log 1/p (P,) in nats.

    p: the shares in `ranking.entropy_bins` bins of equal width, from a channel's lowest to its highest value.
    """
    means = layer.maps.mean(axis=(2, 3), dtype=np.float64)
    return np.array([_entropy(values, int(layer.parameters["entropy_bins"])) for values in means.T])


def _entropy(values: np.ndarray, bins: int) -> float:
    # A channel that is constant up to rounding errors fills one bin.
    if np.ptp(values) <= bins * np.spacing(np.abs(values).max()):
        return 0.0
    counts, _ = np.histogram(values, bins)
    share = counts[counts > 0] / len(values)
    return float((share * np.log(1 / share)).sum())
