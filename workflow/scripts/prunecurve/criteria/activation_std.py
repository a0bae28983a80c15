"""Standard deviation of the activation: std a, over pairs and positions (Molchanov et al. 2017, "activation")."""

import numpy as np

from prunecurve.criteria import Layer

READS = ("statistics",)


def score(layer: Layer) -> np.ndarray:
    """(P,): std of a, at least 0; a channel that is the same everywhere has 0, however large it is."""
    return layer.statistics[f"{layer.point}_std"]
