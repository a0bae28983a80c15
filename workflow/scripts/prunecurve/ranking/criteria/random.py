"""A random order, drawn for each seed: the baseline that every other criterion has to beat."""

import numpy as np

from prunecurve.ranking.criteria import Layer


def score(layer: Layer) -> np.ndarray:
    """Return a random permutation of 0 … P−1 (P,)."""
    return layer.random.permutation(len(layer.filters)).astype(np.float64)
