"""The network of a study before it is trained, for jobs that need only its shapes."""

import argparse
from pathlib import Path

from torch import nn

from prunecurve.data.batches import Split
from prunecurve.files import load_array
from prunecurve.model.conv_net import Architecture
from prunecurve.model.model_file import ModelFile, add_factory, add_leaf_modules, arguments_of
from prunecurve.model.network_file import built, input_shape_of
from prunecurve.model.parameters import BuiltIn
from prunecurve.model.user_network import require_logits
from prunecurve.settings import add_fields, fields_of


def add_untrained(cli: argparse.ArgumentParser) -> None:
    """Add the options for the data that the network is built for, and those for the network."""
    cli.add_argument("--images", type=Path, required=True, help="images of the training split")
    cli.add_argument("--inputs", type=Path, required=True, help="the images of each input of the training split")
    cli.add_argument("--labels", type=Path, required=True, help="labels of the training split")
    add_fields(cli, BuiltIn)
    add_factory(cli)
    add_leaf_modules(cli)


def untrained(arguments: argparse.Namespace) -> tuple[nn.Module, tuple[int, int, int]]:
    """Return the network with random weights, and the shape (C, S, S) of one input.

    Raises StudyError if a user's function returns no network for these data.
    """
    training = Split.of(*(load_array(path) for path in (arguments.images, arguments.inputs, arguments.labels)), "cpu")
    numbers, factory = training.numbers, arguments.factory
    shape = input_shape_of(numbers)
    if not factory:
        return built(fields_of(Architecture, arguments, **numbers), numbers, 0), shape
    model = built(ModelFile("", factory, arguments_of(arguments.arguments)), numbers, 0)
    require_logits(model, shape, numbers["classes"], trained=False)
    return model, shape
