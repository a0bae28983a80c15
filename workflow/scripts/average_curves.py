"""Average the curves over networks: one row per criterion, removal and K, with the interval of each metric."""

import argparse
from pathlib import Path

from prunecurve.commandline import parser, run
from prunecurve.data import tasks
from prunecurve.files import write_table
from prunecurve.statistics.means import mean_curves, read_table


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument("--curve", type=Path, required=True, help="the study's curve.csv")
    cli.add_argument("--task", choices=tasks.names(), default=tasks.DEFAULT, help="the task of the study")
    cli.add_argument("--output", type=Path, required=True, help="output: one row per criterion, removal and K")
    return cli


def work(arguments: argparse.Namespace) -> None:
    write_table(arguments.output, mean_curves(read_table(arguments.curve), arguments.task))


if __name__ == "__main__":
    run(work, options().parse_args())
