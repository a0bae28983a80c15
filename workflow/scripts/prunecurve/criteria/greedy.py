"""Greedy: remove the channel without which the loss is lowest, evaluate all that are left again, repeat. Exact."""

import numpy as np

from prunecurve.criteria import Layer
from prunecurve.orders import backward, losses_of

READS = ("labels",)


def score(layer: Layer) -> np.ndarray:
    """(P,): the channel's place in the order; the class-balanced loss is that of structural removal."""
    with losses_of(layer.examples) as losses:
        return np.argsort(backward(losses))
