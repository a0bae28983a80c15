"""Gather the rows of all seeds, criteria, removals and K into the curve."""

import argparse
from pathlib import Path

from prunecurve.commandline import log, parser, run
from prunecurve.curves import gather
from prunecurve.files import write_rows


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    # A pattern and not the files: a study has thousands of them, more than a command line holds.
    made.add_argument("--rows", required=True, help="path of rows, with {seed}, {criterion}, {removal} and {ks} in it")
    made.add_argument("--seeds", nargs="+", required=True)
    made.add_argument("--criteria", nargs="+", required=True)
    made.add_argument("--removals", nargs="+", required=True)
    made.add_argument("--packs", nargs="+", required=True, help="what stands for {ks}, in rising order")
    made.add_argument("--ks", nargs="+", required=True, help="the K that each curve must have")
    made.add_argument("--curve", type=Path, required=True, help="output: all rows")
    return made


def work(arguments: argparse.Namespace) -> None:
    chosen = arguments.seeds, arguments.criteria, arguments.removals
    rows = gather(arguments.rows, *chosen, arguments.packs, arguments.ks)
    write_rows(arguments.curve, rows, sealed=False)
    log.info("%d rows", len(rows))


if __name__ == "__main__":
    run(work, options().parse_args())
