"""Run one seed's network over some pairs of a split and store their maps, for criteria that look at single ones."""

import argparse
from pathlib import Path

from prunecurve.activations import single_maps, some_pairs
from prunecurve.batches import Split
from prunecurve.commandline import log, parser, run
from prunecurve.cost import block_of
from prunecurve.files import load_array, save_array
from prunecurve.network import POINTS, load_model, prepare_torch
from prunecurve.seeding import stream


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--model", type=Path, required=True)
    made.add_argument("--images", type=Path, required=True)
    made.add_argument("--pairs", type=Path, required=True)
    made.add_argument("--layer", required=True, help="the convolution: conv3")
    made.add_argument("--point", choices=POINTS, required=True, help="where in its block")
    made.add_argument(
        "--count", type=int, required=True, help="how many pairs, drawn at random; all if there are fewer"
    )
    made.add_argument("--seed", type=int, required=True)
    made.add_argument("--batch-size", type=int, default=250, help="pairs in a forward pass")
    made.add_argument("--device", default="auto")
    made.add_argument("--threads", type=int, default=1)
    made.add_argument("--output", type=Path, required=True, help="output: float32 (n, P, M, N)")
    return made


def work(arguments: argparse.Namespace) -> None:
    device = prepare_torch(arguments.device, arguments.threads)
    model = load_model(arguments.model).to(device)
    pairs = load_array(arguments.pairs, shape=(None, 3))
    drawn = some_pairs(pairs, arguments.count, stream(arguments.seed, "sampled_pairs"))
    log.info("%d of %d pairs", len(drawn), len(pairs))
    split = Split.of(load_array(arguments.images), drawn, device)
    maps = single_maps(model, block_of(arguments.layer), arguments.point, split, arguments.batch_size)
    save_array(arguments.output, maps)


if __name__ == "__main__":
    run(work, options().parse_args())
