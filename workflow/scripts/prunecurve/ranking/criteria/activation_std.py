"""Standard deviation of the activation a over pairs and positions (Molchanov et al. 2017, "activation")."""

import numpy as np

from prunecurve.ranking.criteria import Layer

READS = ("statistics",)


def score(layer: Layer) -> np.ndarray:
    """Return the standard deviation of a (P,), ≥ 0. A constant channel has 0, however large its value is."""
    return layer.statistics[f"{layer.point}_std"]
