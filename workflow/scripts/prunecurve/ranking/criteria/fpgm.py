"""FPGM, filter pruning via geometric median: Σ_j ‖W_c − W_j‖₂ (He et al. 2019).

The distances use the filters themselves. Some published code uses their absolute values, which makes a filter and its
negative identical.
"""

import numpy as np

from prunecurve.ranking.criteria import Layer


def score(layer: Layer) -> np.ndarray:
    """Return the sum of each filter's Euclidean distances to all filters (P,), in float64; low means replaceable."""
    flat = layer.filters.reshape(len(layer.filters), -1).astype(np.float64)
    return np.array([np.linalg.norm(flat - one, axis=1).sum() for one in flat])
