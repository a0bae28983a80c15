"""Greedy removal, then greedy addition: the last channels of the greedy order are reordered by greedy addition.

The addition starts from a network without channels. The order is a heuristic, as that of greedy.
"""

import numpy as np

from prunecurve.ranking.criteria import Layer
from prunecurve.ranking.orders import backward_forward

READS = ("labels",)


def score(layer: Layer) -> np.ndarray:
    """Return each channel's place in the order (P,), the candidate with the lowest mean loss over all K."""
    return np.argsort(backward_forward(layer.validation))
