"""Run the network of one seed over a split; write a layer's maps, mean maps and channel statistics."""

import argparse
from pathlib import Path

from prunecurve.activations.collection import collect
from prunecurve.commandline import add_section, add_split, parser, run
from prunecurve.data.batches import Normalisation, Split
from prunecurve.graph.layers import PrunableLayer
from prunecurve.model.model_file import add_model, model_file
from prunecurve.model.network_file import load_network, prepare_torch


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    add_model(cli)
    add_split(cli, "--split", "measured")
    add_section(cli, "--preprocess", Normalisation, "the config section preprocess")
    cli.add_argument("--layer", required=True, help="module path of the layer, for example conv3")
    cli.add_argument("--batch-size", type=int, default=250, help="inputs per forward pass")
    cli.add_argument("--device", default="auto", help="auto, cpu or cuda")
    cli.add_argument("--threads", type=int, default=1, help="number of torch threads")
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
