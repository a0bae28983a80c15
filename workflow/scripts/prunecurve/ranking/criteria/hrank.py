"""HRank: the mean matrix rank of the map a over pairs (Lin et al. 2020).

The rank of an M×N map has only min(M, N) + 1 possible values, so the mean over n pairs has few possible values too.
With small maps many channels tie, above all those with nearly always full rank. The log of the ranking reports the
number of ties. The rank of a map with one position, as that of a linear layer, is 1 if its value is not zero, so the
score is the share of inputs for which the channel is active.
"""

import numpy as np

from prunecurve.ranking.criteria import Layer

READS = ("maps",)


def score(layer: Layer) -> np.ndarray:
    """Return the mean numerical rank of each channel's maps (P,), from 0 to min(M, N); float32, numpy's tolerance."""
    # One input after the other: numpy copies what it decomposes.
    return np.mean([np.linalg.matrix_rank(maps) for maps in layer.maps], axis=0)
