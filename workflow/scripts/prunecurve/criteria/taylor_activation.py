"""First-order Taylor expansion over activations (Molchanov et al. 2017).

The mean over examples of |mean over the map of ∂C/∂a · a|. The absolute value is of each example's mean: taken after
averaging over the examples it would let effects of opposite sign cancel.
"""

import numpy as np

from prunecurve.criteria import Layer
from prunecurve.orders import losses_of

READS = ("labels",)


def score(layer: Layer) -> np.ndarray:
    """(P,): at least 0; the mean over examples is class-balanced, C the cross-entropy in nats of one pair."""
    with losses_of(layer.examples) as losses:
        effects = losses.effects()
    return layer.examples.shares @ np.abs(effects / layer.examples.positions)
