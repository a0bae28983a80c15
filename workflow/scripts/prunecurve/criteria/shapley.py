"""Shapley value: what removing the channel adds to the loss, in the mean over random orders (Ancona et al. 2020).

Unlike the loss oracle it looks at a channel among few others as well as among all.
"""

from prunecurve.criteria import Estimate, Layer
from prunecurve.orders import shapley

READS = ("labels",)
KNOBS = ("shapley_permutations", "shapley_pairs", "shapley_relative_error")


def score(layer: Layer) -> Estimate:
    """(P,): in nats of the class-balanced loss, with standard errors."""
    permutations, pairs, relative_error = (layer.knobs[name] for name in KNOBS)
    return Estimate(*shapley(layer.examples, layer.random, int(permutations), int(pairs), relative_error))
