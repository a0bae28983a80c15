"""Run the network of one seed over some pairs of a split and write their maps, for criteria that use single maps."""

import argparse
from pathlib import Path

from prunecurve.commandline import log, parser, run
from prunecurve.data.batches import Split
from prunecurve.files import load_array, save_array
from prunecurve.network.pair_network import POINTS, load_model, prepare_torch
from prunecurve.ranking.activations import single_maps, some_pairs
from prunecurve.seeding import stream
from prunecurve.sweep.cost import block_of


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument("--model", type=Path, required=True, help="the trained network")
    cli.add_argument("--images", type=Path, required=True, help="images of the split")
    cli.add_argument("--pairs", type=Path, required=True, help="pairs of the split")
    cli.add_argument("--layer", required=True, help="the convolution, for example conv3")
    cli.add_argument("--point", choices=POINTS, required=True, help="measurement point in the convolution's block")
    cli.add_argument("--count", type=int, required=True, help="number of random pairs; all if there are fewer")
    cli.add_argument("--seed", type=int, required=True, help="seed of the study")
    cli.add_argument("--batch-size", type=int, default=250, help="pairs per forward pass")
    cli.add_argument("--device", default="auto", help="auto, cpu or cuda")
    cli.add_argument("--threads", type=int, default=1, help="number of torch threads")
    cli.add_argument("--output", type=Path, required=True, help="output: float32 (n, P, M, N)")
    return cli


def work(arguments: argparse.Namespace) -> None:
    device = prepare_torch(arguments.device, arguments.threads)
    model = load_model(arguments.model).to(device)
    pairs = load_array(arguments.pairs, shape=(None, 3))
    drawn = some_pairs(pairs, arguments.count, stream(arguments.seed, "sampled_pairs"))
    log.info("%d of %d pairs are used", len(drawn), len(pairs))
    split = Split.of(load_array(arguments.images), drawn, device)
    maps = single_maps(model, block_of(arguments.layer), arguments.point, split, arguments.batch_size)
    save_array(arguments.output, maps)


if __name__ == "__main__":
    run(work, options().parse_args())
