"""Run the network of one seed over some inputs of a split and write their maps, for criteria that use single maps."""

import argparse
from pathlib import Path

import numpy as np

from prunecurve.activations.collection import single_maps
from prunecurve.arrays import load_array
from prunecurve.commandline import log, parser, run
from prunecurve.data.batches import Split, add_splits
from prunecurve.graph.layers import PrunableLayer
from prunecurve.graph.points import POINTS
from prunecurve.model.model_file import add_model, model_file
from prunecurve.model.network_file import load_network, prepare_torch
from prunecurve.seeding import stream


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__, "--layer", "--seed", "--batch-size", "--device", "--threads")
    add_model(cli)
    add_splits(cli, split="measured")
    cli.add_argument("--point", choices=POINTS, required=True, help="measurement point behind the layer")
    cli.add_argument("--count", type=int, required=True, help="number of random inputs; all if there are fewer")
    cli.add_argument("--output", type=Path, required=True, help="output: float32 (n, P, M, N)")
    return cli


def work(arguments: argparse.Namespace) -> None:
    device = prepare_torch(arguments.device, arguments.threads)
    model, shape, leaf_modules = load_network(model_file(arguments))
    images, inputs, labels = map(load_array, arguments.split)
    drawn = np.sort(stream(arguments.seed, "sampled_pairs").permutation(len(inputs))[: arguments.count])
    log.info("%d of %d inputs are used", len(drawn), len(inputs))
    split = Split.of(images, inputs[drawn], labels[drawn], device, arguments.preprocess)
    layer = PrunableLayer(model.to(device), arguments.layer, shape, leaf_modules=leaf_modules)
    single_maps(layer, arguments.point, split, arguments.batch_size, arguments.output)


if __name__ == "__main__":
    run(work, options().parse_args())
