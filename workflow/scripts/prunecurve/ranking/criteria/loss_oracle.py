"""Loss oracle: C(without c) − C, from evaluations of the network without each channel (Molchanov et al. 2017).

It is called "oracle-loss" there. It is exact for the removal of one channel and ignores interactions between channels.
"""

import numpy as np

from prunecurve.ranking.criteria import Layer
from prunecurve.ranking.orders import losses_of

READS = ("labels",)


def score(layer: Layer) -> np.ndarray:
    """Return the increase of the class-balanced loss (P,), in nats; negative if the network is better without c."""
    losses = losses_of(layer.validation)
    return losses.changed(losses.left) - losses.now()
