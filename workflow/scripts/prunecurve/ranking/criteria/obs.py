"""OBS, the structured optimal brain surgeon (Hassibi & Stork 1993; Kurtic et al. 2023): the least error after a refit.

Each step removes the channel without which the readers, with all their remaining weights refitted (sweep/repair.py),
have the least squared error of their own outputs over the calibration inputs. It reads no
labels, but for the weights of the inputs.

For a reader with weights A and M = D⁻¹, D the covariance of its inputs, the removal of channel c adds the error
tr(A_cᵀ M_cc⁻¹ A_c); then A −= M_·c M_cc⁻¹ A_c and M −= M_·c M_cc⁻¹ M_c·.
"""

import numpy as np

from prunecurve.ranking.criteria import Layer
from prunecurve.sweep.repair import Reader, regularised

READS = ("readers",)


class Fit:
    """A reader with the weights that are refitted to the channels that are left."""

    def __init__(self, reader: Reader, channels: int) -> None:
        self.inputs = [np.flatnonzero(reader.channels == c) for c in range(channels)]
        # Where the b inputs of a channel share their coefficients, the covariance of each is taken as the mean.
        self.weight = reader.weight.copy()
        self.inverse = np.linalg.inv(regularised(reader.covariance) / reader.mean.shape[1])

    def added(self, channel: int) -> float:
        """Return the squared error that the removal of a channel adds."""
        own = self.inputs[channel]
        weight = self.weight[own]
        return float(np.vdot(weight, np.linalg.solve(self.inverse[np.ix_(own, own)], weight)))

    def remove(self, channel: int) -> None:
        """Refit all weights without a channel."""
        own = self.inputs[channel]
        change = np.linalg.solve(self.inverse[np.ix_(own, own)], self.inverse[own]).T
        self.weight -= change @ self.weight[own]
        self.inverse -= change @ self.inverse[own]


def score(layer: Layer) -> np.ndarray:
    """Return each channel's place in the order (P,)."""
    left, order = list(range(len(layer.filters))), []
    fits = [Fit(reader, len(left)) for reader in layer.readers]
    while left:
        order.append(min(left, key=lambda c: sum(fit.added(c) for fit in fits)))
        left.remove(order[-1])
        for fit in fits:
            fit.remove(order[-1])
    return np.argsort(order)
