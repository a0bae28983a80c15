"""The file of a trained network, and the function that builds its module.

A file must not choose which code runs, so the function does not come from the file but from the options of a job.
Every evaluation job imports this module. It imports no library.
"""

import argparse
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class ModelFile(NamedTuple):
    """A trained network: its file model.pt, and the keys factory, arguments and leaf_modules of the config's network.

    Without a factory it is the built-in network.
    """

    path: str
    factory: str = ""
    arguments: Mapping[str, Any] = MappingProxyType({})
    leaf_modules: tuple[str, ...] = ()


def add_model(cli: argparse.ArgumentParser, *, required: bool = True, help: str = "the trained network") -> None:
    """Add the options for a trained network. If it is not required, `--model` may have no value."""
    cli.add_argument("--model", required=required, nargs=None if required else "?", help=help)
    users = "factory, arguments and leaf_modules of a user's network, as JSON (the config section network)"
    cli.add_argument("--network", metavar="JSON", help=users)


def model_file(arguments: argparse.Namespace) -> ModelFile | None:
    """Return the network from the options of `add_model`; None if `--model` has no value."""
    if arguments.model is None:
        return None
    if not arguments.network:
        return ModelFile(str(arguments.model))
    # Imported here, because an evaluation without torch takes little longer than its imports.
    from prunecurve.model.parameters import Network

    network = Network.model_validate_json(arguments.network)
    return ModelFile(str(arguments.model), network.factory, network.arguments, tuple(network.leaf_modules))
