"""APoZ, the average percentage of zeros in the map a after ReLU (Hu et al. 2016). The highest APoZ is removed first."""

import numpy as np

from prunecurve.ranking.criteria import Layer

READS = ("statistics",)


def score(layer: Layer) -> np.ndarray:
    """Return minus the share of values ≤ 0 (P,), in [−1, 0]."""
    return -layer.statistics[f"{layer.point}_inactive_share"]
