"""Compare the criteria's rankings: for each pair of criteria, the rank correlation over all networks."""

import argparse
import itertools
from pathlib import Path

import pandas as pd

from prunecurve.commandline import parser, run
from prunecurve.files import write_table
from prunecurve.statistics.comparisons import agreement
from prunecurve.statistics.means import read_table


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument(
        "--rankings", required=True, help="path of a ranking, with the placeholders {seed} and {criterion}"
    )
    cli.add_argument("--dataset", required=True)
    cli.add_argument("--layer", required=True)
    cli.add_argument("--seeds", nargs="+", required=True)
    cli.add_argument("--criteria", nargs="+", required=True)
    cli.add_argument("--output", type=Path, required=True, help="output: one row per pair of criteria")
    return cli


def work(arguments: argparse.Namespace) -> None:
    path = arguments.rankings
    rankings = pd.concat(
        read_table(path.format(seed=seed, criterion=criterion), sealed=True).assign(seed=seed, criterion=criterion)
        for seed, criterion in itertools.product(arguments.seeds, arguments.criteria)
    )
    where = {"dataset": arguments.dataset, "layer": arguments.layer}
    write_table(arguments.output, agreement(rankings).assign(**where))


if __name__ == "__main__":
    run(work, options().parse_args())
