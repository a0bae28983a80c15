"""Choose the learning rate of each kind of start of a retraining by its results on the validation inputs."""

import argparse
from pathlib import Path

import pandas as pd

from prunecurve.commandline import parser, run
from prunecurve.statistics.means import read_table
from prunecurve.statistics.recovery import chosen_rates
from prunecurve.tables import write_table


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument("--trials", type=Path, nargs="+", required=True, help="files of retrain, of the validation inputs")
    cli.add_argument("--output", type=Path, required=True, help="output: one row per start and learning rate")
    return cli


def work(arguments: argparse.Namespace) -> None:
    write_table(arguments.output, chosen_rates(pd.concat(map(read_table, arguments.trials))))


if __name__ == "__main__":
    run(work, options().parse_args())
