"""First-order Taylor expansion over activations: mean over pairs of |mean over the map of ∂C/∂a · a|.

Source: Molchanov et al. 2017. The absolute value is taken for each pair; if it were taken after the mean over pairs,
effects of opposite sign would cancel.

The gradient is that at the maps that the next layers read. If only pooling lies between, as usual, the sum over the map
is the same as that over the map a after the activation.
"""

import numpy as np

from prunecurve.ranking.criteria import Layer
from prunecurve.ranking.orders import losses_of

READS = ("labels",)


def score(layer: Layer) -> np.ndarray:
    """Return the scores (P,), ≥ 0. C is the cross-entropy of one pair, in nats. The mean is class-balanced."""
    effects = losses_of(layer.validation).effects()
    return layer.validation.shares @ np.abs(effects / layer.validation.layer.positions)
