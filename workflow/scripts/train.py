"""Train the pair network of one seed and write the weights of its best validation epoch."""

import argparse
from pathlib import Path

from prunecurve.commandline import parser, run
from prunecurve.data.batches import Split
from prunecurve.errors import StudyError
from prunecurve.files import load_array, write_rows
from prunecurve.network.learned import kept_epoch, shortfall
from prunecurve.network.pair_network import Architecture, prepare_torch, save_model, save_weights
from prunecurve.network.parameters import Network, Recipe
from prunecurve.network.training import train
from prunecurve.settings import add_fields, fields_of


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument("--train-images", type=Path, required=True, help="images of the training split")
    cli.add_argument("--train-pairs", type=Path, required=True, help="pairs of the training split")
    cli.add_argument("--val-images", type=Path, required=True, help="images of the validation split")
    cli.add_argument("--val-pairs", type=Path, required=True, help="pairs of the validation split")
    add_fields(cli, Network)
    add_fields(cli, Recipe)
    cli.add_argument("--require", type=float, default=0.0, help="least balanced accuracy on the validation pairs")
    cli.add_argument("--device", default="auto", help="auto, cpu or cuda")
    cli.add_argument("--threads", type=int, default=1, help="number of torch threads")
    cli.add_argument("--seed", type=int, required=True, help="seed of the study")
    cli.add_argument("--model", type=Path, required=True, help="output: the state dict and the architecture")
    cli.add_argument("--weights", type=Path, required=True, help="output: the weights as numpy arrays")
    cli.add_argument("--history", type=Path, required=True, help="output: a CSV file with one row per epoch")
    return cli


def work(arguments: argparse.Namespace) -> None:
    device = prepare_torch(arguments.device, arguments.threads)
    images = {split: load_array(getattr(arguments, f"{split}_images")) for split in ("train", "val")}
    pairs = {split: load_array(getattr(arguments, f"{split}_pairs"), shape=(None, 3)) for split in ("train", "val")}
    _, channels, size, _ = images["train"].shape
    architecture = fields_of(Architecture, arguments, in_channels=2 * channels, image_size=size)
    splits = {split: Split.of(images[split], pairs[split], device) for split in images}
    recipe = fields_of(Recipe, arguments)
    model, rows = train(architecture, recipe, splits["train"], splits["val"], arguments.seed, device)
    if lacks := shortfall(kept_epoch(rows), arguments.require):
        raise StudyError(
            f"training: the network of seed {arguments.seed} has {lacks}. Change the recipe (training.epochs: "
            f"{recipe.epochs}, training.learning_rate: {recipe.learning_rate}, training.same_weight: "
            f"{recipe.same_weight}) or use more images (images); training.require: 0 accepts every network"
        )
    save_model(arguments.model, model)
    save_weights(arguments.weights, model)
    write_rows(arguments.history, rows)


if __name__ == "__main__":
    run(work, options().parse_args(), chatty=True)
