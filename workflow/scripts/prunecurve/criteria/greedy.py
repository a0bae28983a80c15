"""Greedy: remove the channel without which the loss is lowest, evaluate all that are left again, repeat. Exact."""

import numpy as np

from prunecurve.criteria import Layer
from prunecurve.head import Head
from prunecurve.losses import Losses, greedy_order

READS_LABELS = True


def score(layer: Layer) -> np.ndarray:
    """(P,): the channel's place in the order; the class-balanced loss is that of structural removal."""
    examples = layer.examples
    head = Head(examples.weights, len(layer.filters))
    with Losses(examples.features, examples.labels, head, examples.threads) as losses:
        return np.argsort(greedy_order(losses))
