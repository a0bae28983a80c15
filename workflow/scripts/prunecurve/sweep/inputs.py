"""Where the inputs of a split are, for evaluations that compute maps again. Imports no torch."""

import argparse
from collections.abc import Sequence
from typing import NamedTuple

# Inputs per forward pass, unless the config says another number: torch may sum in another order for another one.
BATCH = 250


class InputFiles(NamedTuple):
    """The files of a split, and how its pixels become inputs.

    images, index, labels: paths. mean, std: the config section `preprocess`. batch: inputs per forward pass.
    """

    images: str
    index: str
    labels: str
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)
    batch: int = BATCH


def add_input_files(cli: argparse.ArgumentParser) -> None:
    """Add the options of the files of a split, apart from its labels, and of how its inputs are computed."""
    cli.add_argument("--images", nargs="?", help="images of the split, with --model, if the features are not stored")
    cli.add_argument("--inputs", nargs="?", help="the images of each input of the split, with --images")
    cli.add_argument("--mean", type=float, nargs="+", default=[0.0], help="see preprocess.mean, with --images")
    cli.add_argument("--std", type=float, nargs="+", default=[1.0], help="see preprocess.std, with --images")
    cli.add_argument("--batch-size", type=int, default=BATCH, help="inputs per forward pass, with --model")


def input_files_of(arguments: argparse.Namespace, labels: str) -> InputFiles | None:
    """Return the files that the options name, with those of the labels; None if they name none."""
    if arguments.images is None:
        return None
    files = arguments.images, arguments.inputs, labels
    return InputFiles(*files, arguments.mean, arguments.std, arguments.batch_size)
