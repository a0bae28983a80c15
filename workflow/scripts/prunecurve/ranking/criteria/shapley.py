"""Shapley value: the mean increase of the loss if the channel is removed, over random orders (Ancona et al. 2020).

The loss oracle removes a channel only from the complete network; the Shapley value also removes it from networks
with few remaining channels.
"""

from prunecurve.ranking.criteria import Estimate, Layer
from prunecurve.ranking.orders import shapley

READS = ("labels",)
PARAMETERS = ("shapley_permutations", "shapley_pairs", "shapley_relative_error")


def score(layer: Layer) -> Estimate:
    """Return the values (P,) in nats of the class-balanced loss, with their standard errors."""
    permutations, pairs, relative_error = (layer.parameters[name] for name in PARAMETERS)
    return Estimate(*shapley(layer.validation, layer.random, int(permutations), int(pairs), relative_error))
