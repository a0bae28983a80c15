"""The network of a study before it is trained, for jobs that need only its shapes."""

import argparse

from torch import nn

from prunecurve.commandline import add_section, add_split
from prunecurve.data.batches import Split
from prunecurve.model.conv_net import Architecture
from prunecurve.model.model_file import ModelFile
from prunecurve.model.network_file import built, input_shape_of
from prunecurve.model.parameters import BuiltIn, Network
from prunecurve.model.user_network import require_logits


def add_untrained(cli: argparse.ArgumentParser) -> None:
    """Add the options for the data that the network is built for, and those for the network."""
    add_split(cli, "--split", "training")
    add_section(cli, "--network", Network, "the config section network")


def network_options(network: Network, numbers: dict[str, int]) -> Architecture | ModelFile:
    """Return what `built` builds: the built-in network for these numbers, or that of the user's function."""
    if network.factory:
        return ModelFile("", network.factory, network.arguments)
    return Architecture(**network.model_dump(include=set(BuiltIn.model_fields)), **numbers)


def untrained(arguments: argparse.Namespace) -> tuple[nn.Module, tuple[int, int, int]]:
    """Return the network with random weights, and the shape (C, S, S) of one input.

    Raises StudyError if a user's function returns no network for these data.
    """
    numbers = Split.read(arguments.split, "cpu").numbers
    model, shape = built(network_options(arguments.network, numbers), numbers, 0), input_shape_of(numbers)
    if arguments.network.factory:
        require_logits(model, shape, numbers["classes"], trained=False)
    return model, shape
