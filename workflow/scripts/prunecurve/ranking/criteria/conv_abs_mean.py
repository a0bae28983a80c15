"""The criterion of the reference experiment's code: |mean z| of the convolution's output z.

z is measured before batch normalisation. The absolute value is taken after the mean, so a channel whose values vary
widely around zero counts as inactive.
"""

import numpy as np

from prunecurve.ranking.criteria import Layer

READS = ("statistics",)
POINT = "conv"


def score(layer: Layer) -> np.ndarray:
    """Return |mean of z over pairs and positions| (P,), ≥ 0; does not depend on `ranking.measure_at`."""
    return np.abs(layer.statistics[f"{POINT}_mean"])
