"""Summarise the curve: one row per criterion and removal, and the same in a few lines of text."""

import argparse
from pathlib import Path

from prunecurve.commandline import parser, run
from prunecurve.files import atomic, write_table
from prunecurve.statistics.histories import add_histories, histories, warning_about
from prunecurve.statistics.means import read_table, summarise
from prunecurve.statistics.summary_text import summary_text


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    # The curve alone: tables of an archive may define a quantity as an older version did.
    cli.add_argument("--curve", type=Path, required=True, help="the study's curve.csv")
    add_histories(cli)
    cli.add_argument(
        "--shared", type=Path, help="the study's shared_images.csv; one network and old archives have none"
    )
    cli.add_argument("--figures", required=True, help="where the study's figures are, for the last line")
    cli.add_argument("--summary", type=Path, required=True, help="output: one row per criterion and removal")
    cli.add_argument("--text", type=Path, required=True, help="output: the text that is printed after a run")
    return cli


def work(arguments: argparse.Namespace) -> None:
    curve = read_table(arguments.curve)
    write_table(arguments.summary, summarise(curve, arguments.task))
    shared = read_table(arguments.shared) if arguments.shared else None
    warning = warning_about(histories(arguments), arguments.task)
    text = summary_text(curve, arguments.figures, shared, warning, arguments.task)
    with atomic(arguments.text) as temporary:
        Path(temporary).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run(work, options().parse_args())
