"""Run one seed's network over a split: store what follows a convolution sees, its mean maps and channel statistics."""

import argparse
from pathlib import Path

from prunecurve.activations import collect
from prunecurve.batches import Split
from prunecurve.commandline import parser, run
from prunecurve.cost import block_of
from prunecurve.files import load_array
from prunecurve.network import load_model, prepare_torch


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--model", type=Path, required=True)
    made.add_argument("--images", type=Path, required=True)
    made.add_argument("--pairs", type=Path, required=True)
    made.add_argument("--layer", required=True, help="the convolution: conv3")
    made.add_argument("--batch-size", type=int, default=250, help="pairs in a forward pass")
    made.add_argument("--device", default="auto")
    made.add_argument("--threads", type=int, default=1)
    made.add_argument("--folder", type=Path, required=True, help="output: features, mean maps, statistics")
    return made


def work(arguments: argparse.Namespace) -> None:
    device = prepare_torch(arguments.device, arguments.threads)
    model = load_model(arguments.model).to(device)
    split = Split.of(load_array(arguments.images), load_array(arguments.pairs, shape=(None, 3)), device)
    collect(model, block_of(arguments.layer), split, arguments.batch_size, arguments.folder)


if __name__ == "__main__":
    run(work, options().parse_args())
