"""A random order, drawn anew for each seed: the control that every other criterion has to beat."""

import numpy as np

from prunecurve.criteria import Layer


def score(layer: Layer) -> np.ndarray:
    """(P,): a permutation of 0 … P−1."""
    return layer.random.permutation(len(layer.filters)).astype(np.float64)
