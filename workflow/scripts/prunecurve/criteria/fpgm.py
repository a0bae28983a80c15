"""FPGM, filters near the geometric median: Σ_j ‖W_c − W_j‖₂ (He et al. 2019).

Distances are between the filters as they are; between their absolute values, as some code has it, a filter and
its negative would be the same filter.
"""

import numpy as np

from prunecurve.criteria import Layer


def score(layer: Layer) -> np.ndarray:
    """(P,): the sum of each filter's Euclidean distances to all filters, in float64; the most replaceable is lowest."""
    flat = layer.filters.reshape(len(layer.filters), -1).astype(np.float64)
    return np.array([np.linalg.norm(flat - one, axis=1).sum() for one in flat])
