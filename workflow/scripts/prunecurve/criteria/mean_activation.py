"""Mean activation: mean a, over pairs and positions, of the map a after ReLU (Molchanov et al. 2017, eq. 8)."""

import numpy as np

from prunecurve.criteria import Layer

READS = ("statistics",)


def score(layer: Layer) -> np.ndarray:
    """(P,): mean of a, at least 0 after ReLU, where a dead channel has 0."""
    return layer.statistics[f"{layer.point}_mean"]
