"""Choose the learning rate of each kind of start of a retraining by its results on the validation inputs."""

import argparse
from pathlib import Path

from prunecurve.commandline import parser, run
from prunecurve.repair.learning_rates import chosen_rates
from prunecurve.tables import read_rows, write_rows


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument("--trials", type=Path, nargs="+", required=True, help="files of retrain, of the validation inputs")
    cli.add_argument("--output", type=Path, required=True, help="output: one row per start and learning rate")
    return cli


def work(arguments: argparse.Namespace) -> None:
    rows = chosen_rates(row for path in arguments.trials for row in read_rows(path))
    write_rows(arguments.output, rows, sealed=False)


if __name__ == "__main__":
    run(work, options().parse_args())
