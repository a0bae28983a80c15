"""ThiNet: greedily, the channel without which the outputs of the readers change least (Luo et al. 2017).

The change is the mean over the calibration inputs of ‖Σ x_c W_c‖² over all channels c that are removed so far: what
they contributed to the outputs of the readers, with nothing refitted. It reads no labels, but for
the weights of the inputs.
"""

import numpy as np

from prunecurve.ranking.criteria import Layer

READS = ("readers",)


def score(layer: Layer) -> np.ndarray:
    """Return each channel's place in the order (P,)."""
    channels = range(len(layer.filters))
    # The mean of (x_c W_c) · (x_j W_j) for all pairs of channels.
    products = np.zeros((len(channels), len(channels)))
    for reader in layer.readers:
        own = (reader.channels[:, None] == channels).astype(np.float64)
        # Where the b inputs of a channel share their coefficients, the moments of each are taken as the mean.
        moments = (reader.covariance + reader.mean @ reader.mean.T) / reader.mean.shape[1]
        products += own.T @ (moments * (reader.weight @ reader.weight.T)) @ own
    order: list[int] = []
    while left := [c for c in channels if c not in order]:
        added = products.diagonal() + 2 * products[order].sum(axis=0)
        order.append(left[int(np.argmin(added[left]))])
    return np.argsort(order)
