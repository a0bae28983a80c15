"""Summarise the sensitivity of the layers: how many channels can be removed from each, as a table and a text."""

import argparse
from pathlib import Path

from prunecurve.commandline import parser, run
from prunecurve.files import atomic, write_table
from prunecurve.statistics.histories import add_histories, histories, warning_about
from prunecurve.statistics.means import read_table
from prunecurve.statistics.sensitivity import sensitivity_table, sensitivity_text


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument("--sensitivity", type=Path, required=True, help="the study's sensitivity.csv")
    add_histories(cli)
    cli.add_argument("--figures", required=True, help="where the study's figures are, for the last line")
    cli.add_argument("--table", type=Path, required=True, help="output: one row per layer and criterion")
    cli.add_argument("--text", type=Path, required=True, help="output: the text that is printed after a run")
    return cli


def work(arguments: argparse.Namespace) -> None:
    rows = sensitivity_table(read_table(arguments.sensitivity))
    write_table(arguments.table, rows)
    with atomic(arguments.text) as temporary:
        text = sensitivity_text(rows, arguments.figures, warning_about(histories(arguments), arguments.task))
        Path(temporary).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run(work, options().parse_args())
