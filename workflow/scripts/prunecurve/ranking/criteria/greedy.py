"""Greedy: remove the channel whose removal gives the lowest loss, evaluate all remaining channels again, repeat.

All losses are exact, but the order is a heuristic: it never looks more than one removal ahead, and the loss is the
class-balanced one of the validation pairs. Another order can be better.
"""

import numpy as np

from prunecurve.ranking.criteria import Layer
from prunecurve.ranking.orders import backward, losses_of

READS = ("labels",)


def score(layer: Layer) -> np.ndarray:
    """Return each channel's place in the order (P,)."""
    return np.argsort(backward(losses_of(layer.validation)))
