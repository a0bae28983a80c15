"""Collect the rows of all seeds, criteria, removals and K in one table, the curve."""

import argparse
from pathlib import Path

from prunecurve.commandline import log, parser, run
from prunecurve.files import write_rows
from prunecurve.study.curves import gather


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    # A pattern, not the files: a study has thousands of files, too many for one command line.
    cli.add_argument(
        "--rows", required=True, help="path of rows, with placeholders {seed}, {criterion}, {removal}, {ks}"
    )
    cli.add_argument("--seeds", nargs="+", required=True)
    cli.add_argument("--criteria", nargs="+", required=True)
    cli.add_argument("--removals", nargs="+", required=True)
    cli.add_argument("--k-batches", nargs="+", required=True, help="batches of K, values of {ks}, in ascending order")
    cli.add_argument("--ks", nargs="+", required=True, help="the values of K that each curve must have")
    cli.add_argument("--curve", type=Path, required=True, help="output: all rows")
    return cli


def work(arguments: argparse.Namespace) -> None:
    chosen = arguments.seeds, arguments.criteria, arguments.removals
    rows = gather(arguments.rows, *chosen, arguments.k_batches, arguments.ks)
    write_rows(arguments.curve, rows, sealed=False)
    log.info("%d rows", len(rows))


if __name__ == "__main__":
    run(work, options().parse_args())
