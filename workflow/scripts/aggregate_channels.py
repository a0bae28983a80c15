"""Gather the channel statistics of all networks in one table."""

import argparse
from pathlib import Path

from prunecurve.commandline import parser, run
from prunecurve.files import read_rows, write_rows


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--channels", required=True, help="path of a network's statistics, with {seed} in it")
    made.add_argument("--dataset", required=True)
    made.add_argument("--layer", required=True)
    made.add_argument("--seeds", nargs="+", required=True)
    made.add_argument("--output", type=Path, required=True, help="output: a row for each channel of each network")
    return made


def work(arguments: argparse.Namespace) -> None:
    rows = [
        {"dataset": arguments.dataset, "seed": seed, "layer": arguments.layer} | row
        for seed in arguments.seeds
        for row in read_rows(arguments.channels.format(seed=seed))
    ]
    write_rows(arguments.output, rows, sealed=False)


if __name__ == "__main__":
    run(work, options().parse_args())
