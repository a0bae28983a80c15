"""Shapley value: the mean increase of the loss if the channel is removed, over random orders (Ancona et al. 2020).

The loss oracle removes a channel only from the complete network; the Shapley value also removes it from networks
with few remaining channels.
"""

from prunecurve.criteria import Estimate, Layer
from prunecurve.orders import shapley

READS = ("labels",)
KNOBS = ("shapley_permutations", "shapley_pairs", "shapley_relative_error")


def score(layer: Layer) -> Estimate:
    """Return the values (P,) in nats of the class-balanced loss, with their standard errors."""
    permutations, pairs, relative_error = (layer.knobs[name] for name in KNOBS)
    return Estimate(*shapley(layer.examples, layer.random, int(permutations), int(pairs), relative_error))
