"""Run the network of one seed over a split; write a layer's maps, mean maps and channel statistics."""

import argparse
from pathlib import Path

from prunecurve.activations.collection import collect
from prunecurve.commandline import parser, run
from prunecurve.data.batches import Normalisation, Split
from prunecurve.files import load_array
from prunecurve.graph.layers import PrunableLayer
from prunecurve.model.model_file import add_model, model_file
from prunecurve.model.network_file import load_network, prepare_torch
from prunecurve.settings import add_fields, fields_of


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    add_model(cli)
    cli.add_argument("--images", type=Path, required=True, help="images of the split")
    cli.add_argument("--inputs", type=Path, required=True, help="the images of each input of the split")
    cli.add_argument("--labels", type=Path, required=True, help="labels of the split")
    add_fields(cli, Normalisation)
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
    arrays = [load_array(path) for path in (arguments.images, arguments.inputs, arguments.labels)]
    split = Split.of(*arrays, device, fields_of(Normalisation, arguments))
    layer = PrunableLayer(model.to(device), arguments.layer, shape, leaf_modules=leaf_modules)
    most = arguments.stored_mb * 1_000_000
    collect(layer, split, arguments.batch_size, arguments.folder, most)


if __name__ == "__main__":
    run(work, options().parse_args())
