"""Gather all rows of all seeds, criteria and removals into the curve, and sum it up."""

import argparse
import itertools
from pathlib import Path

from prunecurve.commandline import log, parser, run
from prunecurve.files import atomic, read_rows, write_rows
from prunecurve.statistics import read_table, summarise


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    # A pattern and not the files: a study has thousands, more than a command line holds.
    made.add_argument("--rows", required=True, help="path of rows, with {seed}, {criterion}, {removal} and {ks} in it")
    made.add_argument("--seeds", nargs="+", required=True)
    made.add_argument("--criteria", nargs="+", required=True)
    made.add_argument("--removals", nargs="+", required=True)
    made.add_argument("--packs", nargs="+", required=True, help="what stands for {ks}, in rising order")
    made.add_argument("--curve", type=Path, required=True, help="output: all rows")
    made.add_argument("--summary", type=Path, required=True, help="output: a row for each criterion and removal")
    return made


def work(arguments: argparse.Namespace) -> None:
    axes = {
        "seed": arguments.seeds,
        "criterion": arguments.criteria,
        "removal": arguments.removals,
        "ks": arguments.packs,
    }
    paths = [arguments.rows.format(**dict(zip(axes, values))) for values in itertools.product(*axes.values())]
    # As text, so that no number is rounded or written in another form on its way.
    rows = [row for path in paths for row in read_rows(path)]
    write_rows(arguments.curve, rows)
    log.info("%d rows from %d files", len(rows), len(paths))
    with atomic(arguments.summary) as temporary:
        summarise(read_table(arguments.curve)).to_csv(temporary, index=False, lineterminator="\n")


if __name__ == "__main__":
    run(work, options().parse_args())
