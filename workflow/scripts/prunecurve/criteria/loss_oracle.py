"""Loss oracle: C(without c) − C, by evaluating the network without each channel (Molchanov et al. 2017, "oracle-loss").

Exact for the first channel to go; it never looks at two together.
"""

import numpy as np

from prunecurve.criteria import Layer
from prunecurve.orders import losses_of

READS = ("labels",)


def score(layer: Layer) -> np.ndarray:
    """(P,): what the class-balanced loss rises by, in nats; below 0 where the network is better without the channel."""
    with losses_of(layer.examples) as losses:
        return losses.without_each() - losses.now()
