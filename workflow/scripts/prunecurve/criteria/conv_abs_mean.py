"""The reference experiment's code: |mean z| of the convolution's output z, before batch normalisation.

The absolute value is of the mean, so a channel that swings widely around zero counts as inactive.
"""

import numpy as np

from prunecurve.criteria import Layer

READS = ("statistics",)
POINT = "conv"


def score(layer: Layer) -> np.ndarray:
    """(P,): |mean of z over pairs and positions|, at least 0; whatever `ranking.measure_at` is."""
    return np.abs(layer.statistics[f"{POINT}_mean"])
