"""Kinds of removal. Each one is defined by the map that the next layers get instead of a removed channel.

A channel passes only through operations that work on each channel alone before other layers read it, so removing
channels does not change the maps of the others. A removal is therefore fully defined by the map (h, w) that replaces
each removed channel at the input of the layers that read it. If several layers read it, each has a map of its own.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from prunecurve.graph.layer_file import LayerFile


class Removal(NamedTuple):
    """A kind of removal.

    replacement: a function (layer, mean_features) → replacement maps, as `LayerFile.zero_filter`. shrinks: whether the
    removal makes the network smaller. reads_means: whether it needs the mean maps; otherwise they can be missing (NaN).
    """

    replacement: Callable[[LayerFile, np.ndarray], np.ndarray]
    shrinks: bool
    reads_means: bool = False


def structural(layer: LayerFile, mean_features: np.ndarray) -> np.ndarray:
    """Remove the channel from all layers that compute or read it: the replacement is zero."""
    return np.zeros(mean_features.shape, np.float32)


def zero_weights(layer: LayerFile, mean_features: np.ndarray) -> np.ndarray:
    """Set `weight[c] = 0` and keep bias and batch normalisation, as in the reference experiment.

    The channel becomes what the modules of the network compute from a zero filter.
    """
    return layer.zero_filter


def mean_replacement(layer: LayerFile, mean_features: np.ndarray) -> np.ndarray:
    """Replace the channel by its mean map over the validation pairs, the same for every pair."""
    return mean_features


REMOVALS = {
    "structural": Removal(structural, shrinks=True),
    "zero_weights": Removal(zero_weights, shrinks=False),
    "mean_replacement": Removal(mean_replacement, shrinks=True, reads_means=True),
}
