"""First-order Taylor expansion over gates: Σ over examples of (∂C/∂g)² (Molchanov et al. 2019).

g = 1 is a factor on the channel after batch normalisation. ReLU passes it on, so ∂C/∂g = Σ over the map of ∂C/∂a · a.
"""

import numpy as np

from prunecurve.criteria import Layer
from prunecurve.orders import losses_of

READS = ("labels",)


def score(layer: Layer) -> np.ndarray:
    """(P,): at least 0; the sum over examples is the class-balanced mean, C the cross-entropy in nats of one pair."""
    with losses_of(layer.examples) as losses:
        effects = losses.effects()
    return layer.examples.shares @ np.square(effects)
