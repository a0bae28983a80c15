"""Compare the networks of a study: their channels' statistics, how alike rankings are, the images that they share."""

import argparse
import itertools
from pathlib import Path

import pandas as pd

from prunecurve.arrays import load_array
from prunecurve.commandline import parser, run
from prunecurve.statistics.comparisons import agreement
from prunecurve.statistics.means import read_table
from prunecurve.statistics.shared_images import COLUMNS, shared_images
from prunecurve.tables import read_rows, write_rows, write_table


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__, "--criteria")
    files = "channel statistics, a ranking, and the images that make_pairs drew: paths with {seed} and {criterion}"
    metavar = ("CHANNELS", "RANKING", "INDEX")
    cli.add_argument("--networks", nargs=3, required=True, metavar=metavar, help=files)
    cli.add_argument("--columns", nargs=2, required=True, metavar=("DATASET", "LAYER"), help="values of these columns")
    cli.add_argument("--seeds", type=int, nargs="+", required=True)
    cli.add_argument("--channels", type=Path, required=True, help="output: one row per channel and network")
    cli.add_argument("--agreement", type=Path, required=True, help="output: one row per pair of criteria")
    cli.add_argument("--shared-images", nargs="?", help="output: one row per pair of networks and of splits")
    return cli


def work(arguments: argparse.Namespace) -> None:
    channels, ranking, index = arguments.networks
    (dataset, layer), seeds = arguments.columns, arguments.seeds
    rows = [
        {"dataset": dataset, "seed": seed, "layer": layer} | row
        for seed in seeds
        for row in read_rows(channels.format(seed=seed))
    ]
    write_rows(arguments.channels, rows, sealed=False)
    rankings = pd.concat(
        read_table(ranking.format(seed=seed, criterion=criterion)).assign(seed=seed, criterion=criterion)
        for seed, criterion in itertools.product(seeds, arguments.criteria)
    )
    write_table(arguments.agreement, agreement(rankings).assign(dataset=dataset, layer=layer))
    if arguments.shared_images:
        images = {seed: load_array(index.format(seed=seed), shape=(None, 2)) for seed in seeds}
        write_table(arguments.shared_images, pd.DataFrame(shared_images(images, dataset), columns=COLUMNS))


if __name__ == "__main__":
    run(work, options().parse_args())
