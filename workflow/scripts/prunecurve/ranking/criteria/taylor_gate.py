"""First-order Taylor expansion over gates: Σ over pairs of (∂C/∂g)² (Molchanov et al. 2019).

The gate g = 1 is a factor on the channel after batch normalisation. ReLU(g · x) = g · ReLU(x) for g > 0, so
∂C/∂g = Σ over the map of ∂C/∂a · a. For an activation that is not linear above zero, such as tanh, the gate is a factor
after the activation and not before it.
"""

import numpy as np

from prunecurve.ranking.criteria import Layer
from prunecurve.ranking.orders import losses_of

READS = ("labels",)


def score(layer: Layer) -> np.ndarray:
    """Return the scores (P,), ≥ 0, with the class-balanced mean for the sum. C: cross-entropy of one pair, in nats."""
    return layer.validation.shares @ np.square(losses_of(layer.validation).effects())
