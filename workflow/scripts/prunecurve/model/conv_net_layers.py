"""The layers of the built-in network as its config section describes them. Jobs are planned before there is a network.

It imports no torch, because Snakemake reads it at every start. In all functions, `network` is the config section.
"""

from collections.abc import Mapping
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


def backend(network: Mapping[str, Any], layer: str) -> str:
    """Return how the network behind a layer is evaluated: numpy if only linear layers follow, else torch."""
    return "torch" if layer in list(convolutions(network))[:-1] else "numpy"
