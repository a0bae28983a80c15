"""APoZ, the average percentage of zeros in the map a after ReLU (Hu et al. 2016): the highest goes first."""

import numpy as np

from prunecurve.criteria import Layer

READS = ("statistics",)


def score(layer: Layer) -> np.ndarray:
    """(P,): minus the share of values that are not above zero, in [−1, 0]."""
    return -layer.statistics[f"{layer.point}_inactive_share"]
