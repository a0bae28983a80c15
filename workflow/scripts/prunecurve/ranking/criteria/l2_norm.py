"""L2 norm of the filter: ‖W_c‖₂ (Li et al. 2017)."""

import numpy as np

from prunecurve.ranking.criteria import Layer


def score(layer: Layer) -> np.ndarray:
    """Return the root of the sum of the squared weights of each filter, without bias (P,), in float64."""
    return np.sqrt(np.square(layer.filters, dtype=np.float64).sum(axis=(1, 2, 3)))
