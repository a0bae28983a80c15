"""WHC, weighted hybrid criterion: ‖W_c‖ Σ_j ‖W_j‖ (1 − |cos(W_c, W_j)|) (Chen et al. 2023). Uses only the weights.

A small filter has a low score, and one that is nearly parallel to the large filters, in either direction.
"""

import numpy as np

from prunecurve.ranking.criteria import Layer


def score(layer: Layer) -> np.ndarray:
    """Return the scores (P,) in float64, ≥ 0 but for rounding; without division, so a filter of zeros has 0."""
    flat = layer.filters.reshape(len(layer.filters), -1).astype(np.float64)
    norms = np.linalg.norm(flat, axis=1)
    return (np.outer(norms, norms) - np.abs(flat @ flat.T)).sum(axis=1)
