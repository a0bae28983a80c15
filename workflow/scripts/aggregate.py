"""Collect the rows of all seeds, criteria, removals, repairs and K in the curve, and recalls of classes in a table."""

import argparse
from pathlib import Path

from prunecurve.commandline import log, parser, run
from prunecurve.statistics.curves import add_curves, recalls_of, rows_of, without_class_counts
from prunecurve.tables import write_table


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__, "--seeds", "--criteria")
    add_curves(cli)
    cli.add_argument("--curve", type=Path, required=True, help="output: all rows, without counts of classes")
    cli.add_argument("--recalls", nargs="?", help="output: one row per row of the curve and class, with --classes")
    return cli


def work(arguments: argparse.Namespace) -> None:
    rows = rows_of(arguments)
    write_table(arguments.curve, without_class_counts(rows))
    if arguments.recalls:
        write_table(arguments.recalls, recalls_of(arguments, rows))
    log.info("%d rows", len(rows))


if __name__ == "__main__":
    run(work, options().parse_args())
