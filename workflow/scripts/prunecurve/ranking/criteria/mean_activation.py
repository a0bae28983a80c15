"""Mean activation: the mean over pairs and positions of the map a after ReLU (Molchanov et al. 2017, eq. 8)."""

import numpy as np

from prunecurve.ranking.criteria import Layer

READS = ("statistics",)


def score(layer: Layer) -> np.ndarray:
    """Return the mean of a (P,). After ReLU it is ≥ 0, and 0 for a dead channel."""
    return layer.statistics[f"{layer.point}_mean"]
