"""Train the network of one seed and write the weights of its best validation epoch."""

import argparse
from pathlib import Path

from prunecurve.commandline import parser, run
from prunecurve.data.batches import Normalisation, Split
from prunecurve.errors import StudyError
from prunecurve.files import load_array, write_rows
from prunecurve.network.conv_net import Architecture, prepare_torch, save_model
from prunecurve.network.learned import kept_epoch, shortfall
from prunecurve.network.parameters import Network, Recipe
from prunecurve.network.training import train
from prunecurve.settings import add_fields, fields_of


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    for split, name in (("train", "training"), ("val", "validation")):
        cli.add_argument(f"--{split}-images", type=Path, required=True, help=f"images of the {name} split")
        cli.add_argument(
            f"--{split}-inputs", type=Path, required=True, help=f"the images of each input of the {name} split"
        )
        cli.add_argument(f"--{split}-labels", type=Path, required=True, help=f"labels of the {name} split")
    add_fields(cli, Normalisation)
    add_fields(cli, Network)
    add_fields(cli, Recipe)
    cli.add_argument("--require", type=float, default=0.0, help="least balanced accuracy for two classes")
    cli.add_argument("--recalls", nargs="*", default=[], metavar="NAME=CLASS", help="recalls in the history")
    cli.add_argument("--input-name", default="inputs", help="what the inputs are called in messages")
    cli.add_argument("--device", default="auto", help="auto, cpu or cuda")
    cli.add_argument("--threads", type=int, default=1, help="number of torch threads")
    cli.add_argument("--seed", type=int, required=True, help="seed of the study")
    cli.add_argument("--model", type=Path, required=True, help="output: the state dict and the architecture")
    cli.add_argument("--history", type=Path, required=True, help="output: a CSV file with one row per epoch")
    return cli


def named(word: str) -> tuple[str, int]:
    """Parse NAME=CLASS, the number of a class and the name of its column."""
    name, _, label = word.rpartition("=")
    return name, int(label)


def work(arguments: argparse.Namespace) -> None:
    device = prepare_torch(arguments.device, arguments.threads)
    normalisation = fields_of(Normalisation, arguments)

    def split(name: str) -> Split:
        paths = (getattr(arguments, f"{name}_{kind}") for kind in ("images", "inputs", "labels"))
        return Split.of(*map(load_array, paths), device, normalisation)

    training, validation = split("train"), split("val")
    architecture = fields_of(Architecture, arguments, **training.numbers)
    recipe = fields_of(Recipe, arguments)
    model, rows = train(
        architecture, recipe, training, validation, arguments.seed, device, dict(map(named, arguments.recalls))
    )
    if lacks := shortfall(kept_epoch(rows), arguments.require, arguments.input_name):
        keys = ("epochs", "learning_rate", *(["same_weight"] if arguments.recalls else []))
        values = ", ".join(f"training.{key}: {getattr(recipe, key)}" for key in keys)
        raise StudyError(
            f"training: the network of seed {arguments.seed} has {lacks}. Change the recipe "
            f"({values}) or use more images (images); training.require: 0 accepts every network"
        )
    save_model(arguments.model, model)
    write_rows(arguments.history, rows)


if __name__ == "__main__":
    run(work, options().parse_args(), chatty=True)
