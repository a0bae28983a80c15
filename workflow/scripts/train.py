"""Train the network of one seed and write the weights of its best validation epoch."""

import argparse
from pathlib import Path

from prunecurve.commandline import parser, run
from prunecurve.data.batches import Normalisation, Split
from prunecurve.files import load_array, write_rows
from prunecurve.model.conv_net import Architecture
from prunecurve.model.model_file import add_factory, model_file
from prunecurve.model.network_file import initial_seed, prepare_torch, save_model
from prunecurve.model.parameters import BuiltIn
from prunecurve.settings import add_fields, fields_of
from prunecurve.training.learned import kept_epoch, named_recall, require_learned
from prunecurve.training.parameters import Recipe
from prunecurve.training.training import train


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    for split, name in (("train", "training"), ("val", "validation")):
        cli.add_argument(f"--{split}-images", type=Path, required=True, help=f"images of the {name} split")
        cli.add_argument(
            f"--{split}-inputs", type=Path, required=True, help=f"the images of each input of the {name} split"
        )
        cli.add_argument(f"--{split}-labels", type=Path, required=True, help=f"labels of the {name} split")
    add_fields(cli, Normalisation)
    add_fields(cli, BuiltIn)
    add_factory(cli)
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


def work(arguments: argparse.Namespace) -> None:
    device = prepare_torch(arguments.device, arguments.threads)
    normalisation = fields_of(Normalisation, arguments)

    def split(name: str) -> Split:
        paths = (getattr(arguments, f"{name}_{kind}") for kind in ("images", "inputs", "labels"))
        return Split.of(*map(load_array, paths), device, normalisation)

    training, validation = split("train"), split("val")
    # Without a factory, the built-in network.
    users = model_file(arguments)
    network = users if users.factory else fields_of(Architecture, arguments, **training.numbers)
    recipe, recalls = fields_of(Recipe, arguments), dict(map(named_recall, arguments.recalls))
    model, rows = train(network, recipe, training, validation, arguments.seed, device, recalls)
    keys = ("epochs", "learning_rate", *(["same_weight"] if recalls else []))
    values = ", ".join(f"training.{key}: {getattr(recipe, key)}" for key in keys)
    remedy = f"Change the recipe ({values}) or use more images (images)"
    require_learned(kept_epoch(rows), arguments.require, arguments.input_name, arguments.seed, remedy)
    save_model(arguments.model, model, training.numbers, initial_seed(arguments.seed))
    write_rows(arguments.history, rows)


if __name__ == "__main__":
    run(work, options().parse_args(), chatty=True)
