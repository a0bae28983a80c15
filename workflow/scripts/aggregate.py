"""Gather all rows of all seeds, criteria and removals into the curve, and sum it up."""

import argparse
import itertools
import os
from pathlib import Path

from prunecurve.commandline import log, parser, run
from prunecurve.errors import StudyError
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
    made.add_argument("--ks", nargs="+", required=True, help="the K that each curve must have")
    made.add_argument("--curve", type=Path, required=True, help="output: all rows")
    made.add_argument("--summary", type=Path, required=True, help="output: a row for each criterion and removal")
    return made


def one_curve(paths: list[str], ks: list[str]) -> list[dict[str, str]]:
    """The rows of these files, as text, so that no number changes its form; StudyError unless one for each K."""
    rows = [row for path in paths for row in read_rows(path)]
    if [row.get("k") for row in rows] != ks:
        folder = os.path.dirname(paths[0])
        raise StudyError(f"{folder}: the rows are not one for each K of the study; delete the folder and run again")
    return rows


def work(arguments: argparse.Namespace) -> None:
    rows = []
    for seed, criterion, removal in itertools.product(arguments.seeds, arguments.criteria, arguments.removals):
        pattern = arguments.rows.format(seed=seed, criterion=criterion, removal=removal, ks="{ks}")
        rows += one_curve([pattern.format(ks=pack) for pack in arguments.packs], arguments.ks)
    write_rows(arguments.curve, rows)
    log.info("%d rows", len(rows))
    with atomic(arguments.summary) as temporary:
        summarise(read_table(arguments.curve)).to_csv(temporary, index=False, lineterminator="\n")


if __name__ == "__main__":
    run(work, options().parse_args())
