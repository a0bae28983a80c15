"""HRank: the mean rank of the map a, as a matrix (Lin et al. 2020).

An M×N map has no more than min(M, N) + 1 ranks, and a mean over n pairs no more than n times as many values:
small maps tie, most of all those that are nearly always of full rank. The ranking's log tells how many.
"""

import numpy as np

from prunecurve.criteria import Layer

READS = ("maps",)


def score(layer: Layer) -> np.ndarray:
    """(P,): the mean numerical rank of a channel's maps (numpy's tolerance, float32), from 0 to min(M, N)."""
    return np.linalg.matrix_rank(layer.maps).mean(axis=0)
