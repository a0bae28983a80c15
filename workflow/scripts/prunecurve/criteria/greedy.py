"""Greedy: remove the channel whose removal gives the lowest loss, evaluate all remaining channels again, repeat.

All losses are exact.
"""

import numpy as np

from prunecurve.criteria import Layer
from prunecurve.orders import backward, losses_of

READS = ("labels",)


def score(layer: Layer) -> np.ndarray:
    """Return each channel's place in the order (P,). The loss is class-balanced, with structural removal."""
    with losses_of(layer.examples) as losses:
        return np.argsort(backward(losses))
