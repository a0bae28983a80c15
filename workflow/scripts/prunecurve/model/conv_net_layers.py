"""The layers of the built-in network as its config section describes them, for the start, when there is no network.

Snakemake reads this module at every start; it imports no torch. In all functions, `network` is the config section.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any


def convolutions(network: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of output channels of each convolution by its module path, in the order of the network."""
    return {f"conv{i}": channels for i, channels in enumerate(network["channels"], start=1)}


def hidden_layers(network: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of outputs of each hidden linear layer by its module path, in the order of the network."""
    return {f"linear{i}": outputs for i, outputs in enumerate(network["hidden"], start=1)}


def output_layer(network: Mapping[str, Any]) -> str:
    """Return the module path of the last linear layer, whose outputs are the classes."""
    return f"linear{len(network['hidden']) + 1}"


def other_modules(network: Mapping[str, Any]) -> list[str]:
    """Return the module paths that are neither convolutions nor linear layers."""
    return ["relu", "pool", "dropout", *(f"bn{i}" for i in range(1, len(network["channels"]) + 1))]


def backend(network: Mapping[str, Any], layer: str) -> str:
    """Return how the network behind a layer is evaluated: numpy if only linear layers follow, else torch."""
    return "torch" if layer in list(convolutions(network))[:-1] else "numpy"


def fewest_weights(network: Mapping[str, Any], image_size: int) -> int:
    """Return the number of weights in filters and linear layers for one grey image per input and two classes."""
    widths = [1, *network["channels"]]
    pixels = (image_size >> len(network["channels"])) ** 2
    linear = [widths[-1] * pixels, *network["hidden"], 2]
    filters = sum(before * after for before, after in pairwise(widths)) * network["kernel_size"] ** 2
    return filters + sum(before * after for before, after in pairwise(linear))
