"""Parameters and MACs of a network without some channels of several layers at once.

They are not a sum over layers: a convolution between two layers has fewer outputs because of one, and fewer inputs
because of the other. Every weight of the network is an operation with sides, its outputs and its inputs, and its number
of parameters and MACs is proportional to the product of what is left of its sides. Imports only numpy.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from prunecurve.tables import read_rows, write_rows

SIZES = ("params", "macs")
# In the file of costs, the rows with the channels of a layer.
CHANNELS = "channels of "


class Side(NamedTuple):
    """The outputs or inputs of an operation: their number, and how many of them each channel of a layer has."""

    size: int
    entries: Mapping[str, int]


class Operation(NamedTuple):
    """A part of the network: its parameters and MACs, for one input, for each combination of entries of its sides."""

    name: str
    params: int
    macs: int
    sides: tuple[Side, ...] = ()


class Costs:
    """The cost of a network, as a function of the number K of removed channels of each layer.

    channels: P of each layer, in the order of the network. operations: all parts of the network; one without sides does
    not depend on the layers.
    """

    def __init__(self, channels: Mapping[str, int], operations: Sequence[Operation]) -> None:
        self.channels, self.operations = dict(channels), list(operations)
        self._of_layer = {
            layer: [each for each in self.operations if any(layer in side.entries for side in each.sides)]
            for layer in self.channels
        }

    def total(self, size: str, ks: Mapping[str, int] | None = None) -> int:
        """Return the cost of the network. size: one of SIZES. ks: K of each layer; layers that are missing keep all."""
        return sum(_cost(each, size, ks or {}) for each in self.operations)

    def change(self, size: str, ks: Mapping[str, int], layer: str, candidates: np.ndarray) -> np.ndarray:
        """Return what each of the K in `candidates`, int64 (n,), instead of ks[layer] adds to the cost: int64 (n,)."""
        own, others = self._of_layer[layer], {**ks, layer: candidates}
        added = sum((_cost(each, size, others) for each in own), np.zeros_like(candidates))
        return added - sum(_cost(each, size, ks) for each in own)

    def both(self, ks: Mapping[str, int] | None = None) -> dict[str, int]:
        """Return the parameters and MACs of the network by their names."""
        return {size: int(self.total(size, ks)) for size in SIZES}


def _cost(operation: Operation, size: str, ks: Mapping[str, Any]) -> Any:
    """Return the cost of an operation: an integer, or int64 (n,) if the K of one of its layers are an array (n,)."""
    left = (side.size - sum(n * ks.get(layer, 0) for layer, n in side.entries.items()) for side in operation.sides)
    return getattr(operation, size) * math.prod(left)


def save_costs(path: str | os.PathLike[str], costs: Costs) -> None:
    """Write the costs as a CSV file: one row per layer with its channels, and one per operation."""
    layers = [Operation(f"{CHANNELS}{layer}", channels, 0) for layer, channels in costs.channels.items()]
    rows = [
        {"operation": name, "params": params, "macs": macs, "sides": json.dumps(sides)}
        for name, params, macs, sides in [*layers, *costs.operations]
    ]
    write_rows(path, rows)


def load_costs(path: str | os.PathLike[str]) -> Costs:
    """Read the file of `save_costs`."""
    channels, operations = {}, []
    for row in read_rows(path):
        name, params, macs = row["operation"], int(row["params"]), int(row["macs"])
        if name.startswith(CHANNELS):
            channels[name.removeprefix(CHANNELS)] = params
        else:
            sides = tuple(Side(int(size), entries) for size, entries in json.loads(row["sides"]))
            operations.append(Operation(name, params, macs, sides))
    return Costs(channels, operations)
