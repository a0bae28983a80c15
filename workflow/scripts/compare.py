"""Compare each criterion with random and with greedy removal: differences paired by network."""

import argparse
from pathlib import Path

from prunecurve.commandline import parser, run
from prunecurve.files import write_table
from prunecurve.statistics.comparisons import paired
from prunecurve.statistics.means import read_table


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument("--curve", type=Path, required=True)
    cli.add_argument("--output", type=Path, required=True, help="output: one row per comparison")
    return cli


def work(arguments: argparse.Namespace) -> None:
    write_table(arguments.output, paired(read_table(arguments.curve)))


if __name__ == "__main__":
    run(work, options().parse_args())
