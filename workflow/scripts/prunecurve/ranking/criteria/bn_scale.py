"""Scale of batch normalisation, |γ_c| (Liu et al. 2017, "network slimming", here without its sparsity penalty)."""

import numpy as np

from prunecurve.ranking.criteria import Layer

READS = ("scale",)


def score(layer: Layer) -> np.ndarray:
    """Return the absolute value of each channel's γ (P,), in float64."""
    return np.abs(layer.scale).astype(np.float64)
