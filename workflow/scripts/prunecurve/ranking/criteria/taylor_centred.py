"""`taylor_activation` with the deviation from the mean map: mean over pairs of |mean over the map of ∂C/∂a · (a − ā)|.

This is the first-order effect of `mean_replacement`, which puts the mean map ā in the place of a. Here a is what the
next layers read, behind pooling: pooling and the mean cannot be exchanged.
"""

import numpy as np

from prunecurve.ranking.criteria import Layer
from prunecurve.ranking.orders import losses_of

READS = ("labels", "mean_features")


def score(layer: Layer) -> np.ndarray:
    """Return the scores (P,), ≥ 0. C is the cross-entropy of one pair, in nats. The mean is class-balanced."""
    effects = losses_of(layer.validation).effects(layer.mean_features)
    return layer.validation.shares @ np.abs(effects / layer.validation.layer.positions)
