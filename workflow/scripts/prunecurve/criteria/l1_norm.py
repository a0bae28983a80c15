"""L1 norm of the filter: Σ |W_c| (Li et al. 2017). Looks at the weights alone."""

import numpy as np

from prunecurve.criteria import Layer


def score(layer: Layer) -> np.ndarray:
    """(P,): the sum of the absolute weights of each filter, bias left out, in float64."""
    return np.abs(layer.filters).sum(axis=(1, 2, 3), dtype=np.float64)
