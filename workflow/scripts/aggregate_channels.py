"""Collect the channel statistics of all networks in one table."""

import argparse
from pathlib import Path

from prunecurve.commandline import parser, run
from prunecurve.files import read_rows, write_rows


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument("--channels", required=True, help="path of a network's statistics, with the placeholder {seed}")
    cli.add_argument("--dataset", required=True)
    cli.add_argument("--layer", required=True)
    cli.add_argument("--seeds", nargs="+", required=True)
    cli.add_argument("--output", type=Path, required=True, help="output: one row per channel and network")
    return cli


def work(arguments: argparse.Namespace) -> None:
    rows = [
        {"dataset": arguments.dataset, "seed": seed, "layer": arguments.layer} | row
        for seed in arguments.seeds
        for row in read_rows(arguments.channels.format(seed=seed))
    ]
    write_rows(arguments.output, rows, sealed=False)


if __name__ == "__main__":
    run(work, options().parse_args())
