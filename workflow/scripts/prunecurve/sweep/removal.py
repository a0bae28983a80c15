"""Kinds of removal, and the repairs of the smaller network.

Each removal is defined by the map that the next layers get instead of a removed channel.

A channel passes only through operations that work on each channel alone before other layers read it, so removing
channels does not change the maps of the others. A removal is therefore fully defined by the map (h, w) that replaces
each removed channel at the input of the layers that read it. If several layers read it, each has a map of its own.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from prunecurve.graph.layer_file import LayerFile


class Removal(NamedTuple):
    """A kind of removal.

    replacement: a function (layer, mean maps) → replacement maps, as `LayerFile.zero_filter`. shrinks: whether the
    removal makes the network smaller. reads_means: whether it needs the mean maps; for others they can be None.
    """

    replacement: Callable[[LayerFile, Any], np.ndarray]
    shrinks: bool
    reads_means: bool = False


REMOVALS = {
    # The channel is removed from all layers that compute or read it.
    "structural": Removal(lambda layer, means: np.zeros_like(layer.zero_filter), shrinks=True),
    # `weight[c] = 0`, with bias and batch normalisation kept, as in the reference experiment: the channel becomes what
    # the modules of the network compute from a zero filter.
    "zero_weights": Removal(lambda layer, means: layer.zero_filter, shrinks=False),
    # The mean map over the validation pairs, the same for every pair.
    "mean_replacement": Removal(lambda layer, means: means, shrinks=True, reads_means=True),
}
# What is done to the smaller network afterwards (repair.py). Only structural removal makes a network that is repaired:
# mean maps would become part of the refitted biases, and zero filters stay in the network.
REPAIRS = ("none", "bias", "refit", "refit_bias")


def variant(removal: str, repair: str = "none") -> str:
    """Return the name of a removal with its repair, which is part of the name of a file: `structural+refit`."""
    return removal if repair == "none" else f"{removal}+{repair}"


def parts_of(variant: str) -> tuple[str, str]:
    """Return the removal and the repair of a variant."""
    removal, _, repair = variant.partition("+")
    return removal, repair or "none"


VARIANTS = (*REMOVALS, *(variant("structural", repair) for repair in REPAIRS[1:]))
