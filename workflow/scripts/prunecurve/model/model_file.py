"""The file of a trained network, and the function that builds its module.

A file must not choose which code runs, so the function does not come from the file but from the options of a job.
Every evaluation job imports this module. It imports no library.
"""

import argparse
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class ModelFile(NamedTuple):
    """A trained network for `network_file.load_network`.

    path: of model.pt. factory, arguments: the keys network.factory and network.arguments; without a factory it is the
    built-in network. leaf_modules: the key network.leaf_modules.
    """

    path: str
    factory: str = ""
    arguments: Mapping[str, Any] = MappingProxyType({})
    leaf_modules: tuple[str, ...] = ()


def add_factory(cli: argparse.ArgumentParser) -> None:
    """Add the options for the function that builds the network."""
    cli.add_argument("--factory", default="", help="FILE.py:FUNCTION or module:FUNCTION; empty: the built-in network")
    cli.add_argument("--arguments", default="{}", metavar="JSON", help="arguments of the function, by name")


def add_leaf_modules(cli: argparse.ArgumentParser) -> None:
    """Add the option for the modules that are not traced."""
    cli.add_argument("--leaf-modules", nargs="*", default=[], help="modules that torch.fx does not look into")


def add_model(cli: argparse.ArgumentParser, *, required: bool = True, help: str = "the trained network") -> None:
    """Add the options for a trained network. If it is not required, `--model` may have no value."""
    cli.add_argument("--model", required=required, nargs=None if required else "?", help=help)
    add_factory(cli)
    add_leaf_modules(cli)


def arguments_of(text: str) -> dict[str, Any]:
    """Return the arguments of the function from the option `--arguments`."""
    if text == "{}":
        return {}
    # Imported here because an evaluation of the built-in network takes little longer than its imports.
    import json

    return json.loads(text)


def model_file(arguments: argparse.Namespace) -> ModelFile | None:
    """Return the network from the options of `add_model` or `add_factory`; None if `--model` has no value."""
    if arguments.model is None:
        return None
    leaf_modules = tuple(getattr(arguments, "leaf_modules", ()))
    return ModelFile(str(arguments.model), arguments.factory, arguments_of(arguments.arguments), leaf_modules)
