"""Where the inputs of a split are, for evaluations that compute maps again. Imports no torch."""

import argparse
from typing import NamedTuple

# Inputs per forward pass, unless the config says another number: torch may sum in another order for another one.
BATCH = 250


class InputFiles(NamedTuple):
    """The files of a split, and how its pixels become inputs.

    images, inputs, labels: paths. preprocess: the config section as JSON. batch: inputs per forward pass.
    """

    images: str
    inputs: str
    labels: str
    preprocess: str = "{}"
    batch: int = BATCH


class Calibration(NamedTuple):
    """The files of `calibrate`: what repairs are fitted to. inputs: the files of the inputs, see `InputFiles`."""

    readers: str
    features: str
    labels: str
    shares: str
    inputs: InputFiles | None = None


def add_evaluated_split(cli: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add the options for the split that an evaluation reads. If it is not required, `--split` may have no values."""
    files = "the labels of the split; with --model its images, the images of each input, and the labels"
    cli.add_argument("--split", nargs="+" if required else "*", required=required, metavar="FILE", help=files)
    cli.add_argument("--preprocess", default="{}", metavar="JSON", help="the config section preprocess, with --model")
    cli.add_argument("--batch-size", type=int, default=BATCH, help="inputs per forward pass, with --model")


def input_files(arguments: argparse.Namespace) -> InputFiles | None:
    """Return the files of a split from the options of `add_evaluated_split`; None if there are only its labels."""
    if len(arguments.split) < 3:
        return None
    images, inputs, labels = arguments.split
    return InputFiles(images, inputs, labels, arguments.preprocess, arguments.batch_size)


def add_calibration(cli: argparse.ArgumentParser) -> None:
    """Add the option for the files that repairs are fitted to."""
    files = "moments.npy, features.npy, labels.npy and shares.npy; with --model the training images and inputs.npy, too"
    cli.add_argument("--calibration", nargs="*", default=[], metavar="FILE", help=f"for repairs, of calibrate: {files}")


def calibration(arguments: argparse.Namespace) -> Calibration | None:
    """Return the files of the option of `add_calibration`; None if there are none."""
    if not arguments.calibration:
        return None
    readers, features, labels, shares, *images = arguments.calibration
    preprocess = arguments.preprocess, arguments.batch_size
    return Calibration(
        readers, features, labels, shares, InputFiles(images[0], images[1], labels, *preprocess) if images else None
    )
