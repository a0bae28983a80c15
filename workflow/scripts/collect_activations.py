"""Run the network of one seed over a split; write a convolution's pooled maps, mean maps and channel statistics."""

import argparse
from pathlib import Path

from prunecurve.commandline import parser, run
from prunecurve.data.batches import Split
from prunecurve.files import load_array
from prunecurve.network.pair_network import load_model, prepare_torch
from prunecurve.ranking.activations import collect
from prunecurve.sweep.cost import block_of


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument("--model", type=Path, required=True, help="the trained network")
    cli.add_argument("--images", type=Path, required=True, help="images of the split")
    cli.add_argument("--pairs", type=Path, required=True, help="pairs of the split")
    cli.add_argument("--layer", required=True, help="the convolution, for example conv3")
    cli.add_argument("--batch-size", type=int, default=250, help="pairs per forward pass")
    cli.add_argument("--device", default="auto", help="auto, cpu or cuda")
    cli.add_argument("--threads", type=int, default=1, help="number of torch threads")
    cli.add_argument("--folder", type=Path, required=True, help="output: pooled maps, mean maps, statistics")
    return cli


def work(arguments: argparse.Namespace) -> None:
    device = prepare_torch(arguments.device, arguments.threads)
    model = load_model(arguments.model).to(device)
    split = Split.of(load_array(arguments.images), load_array(arguments.pairs, shape=(None, 3)), device)
    collect(model, block_of(arguments.layer), split, arguments.batch_size, arguments.folder)


if __name__ == "__main__":
    run(work, options().parse_args())
