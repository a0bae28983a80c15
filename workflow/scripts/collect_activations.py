"""Run the network of one seed over a split; write a layer's maps, mean maps and channel statistics."""

import argparse
from pathlib import Path

from prunecurve.activations.collection import collect
from prunecurve.commandline import parser, run
from prunecurve.data.batches import Split, add_splits
from prunecurve.graph.layers import PrunableLayer
from prunecurve.model.model_file import add_model, model_file
from prunecurve.model.network_file import load_network, prepare_torch


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__, "--layer", "--batch-size", "--device", "--threads")
    add_model(cli)
    add_splits(cli, split="measured")
    cli.add_argument("--stored-mb", type=int, default=4000, help="largest size of the features that is stored, in MB")
    cli.add_argument("--folder", type=Path, required=True, help="output: maps, mean maps, statistics")
    return cli


def work(arguments: argparse.Namespace) -> None:
    device = prepare_torch(arguments.device, arguments.threads)
    model, shape, leaf_modules = load_network(model_file(arguments))
    split = Split.read(arguments.split, device, arguments.preprocess)
    layer = PrunableLayer(model.to(device), arguments.layer, shape, leaf_modules=leaf_modules)
    collect(layer, split, arguments.batch_size, arguments.folder, arguments.stored_mb * 1_000_000)


if __name__ == "__main__":
    run(work, options().parse_args())
