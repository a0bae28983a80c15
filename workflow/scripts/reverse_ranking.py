"""Reverse a ranking. A useful criterion must differ from its reverse."""

import argparse
from pathlib import Path

from prunecurve.commandline import parser, run
from prunecurve.files import read_rows, write_rows


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument("--ranking", type=Path, required=True, help="the ranking to reverse, a CSV file")
    cli.add_argument("--output", type=Path, required=True, help="output: the reversed ranking, with the negated scores")
    return cli


def work(arguments: argparse.Namespace) -> None:
    rows = reversed(read_rows(arguments.ranking))
    reversed_rows = [row | {"order": place, "score": -float(row["score"])} for place, row in enumerate(rows)]
    write_rows(arguments.output, reversed_rows)


if __name__ == "__main__":
    run(work, options().parse_args())
