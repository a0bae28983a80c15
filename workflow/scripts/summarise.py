"""Summarise a study in a few lines of text: one table per removal, the controls, and what the numbers show."""

import argparse
from pathlib import Path

from prunecurve.commandline import parser, run
from prunecurve.files import atomic
from prunecurve.statistics import read_table
from prunecurve.summary_text import summary_text


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    # The curve alone: tables of an archive may define a quantity as an older version did.
    cli.add_argument("--curve", type=Path, required=True, help="the study's curve.csv")
    cli.add_argument("--figures", required=True, help="where the study's figures are, for the last line")
    cli.add_argument("--output", type=Path, required=True, help="output: a text file")
    return cli


def work(arguments: argparse.Namespace) -> None:
    with atomic(arguments.output) as temporary:
        text = summary_text(read_table(arguments.curve), arguments.figures)
        Path(temporary).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run(work, options().parse_args())
