"""L1 norm of the filter: Σ |W_c| (Li et al. 2017). Uses only the weights."""

import numpy as np

from prunecurve.ranking.criteria import Layer


def score(layer: Layer) -> np.ndarray:
    """Return the sum of the absolute weights of each filter, without bias (P,), in float64."""
    return np.abs(layer.filters).sum(axis=(1, 2, 3), dtype=np.float64)
