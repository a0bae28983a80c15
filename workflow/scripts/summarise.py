"""Summarise the curve: means over networks for every K, criterion, removal and repair, comparisons, and a text."""

import argparse
from pathlib import Path

from prunecurve.commandline import parser, run
from prunecurve.files import write_text
from prunecurve.statistics.comparisons import paired
from prunecurve.statistics.histories import add_histories, warning_of
from prunecurve.statistics.means import mean_curves, read_table, summarise
from prunecurve.statistics.summary_text import summary_text
from prunecurve.tables import write_table


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    # The curve alone: tables of an archive may define a quantity as an older version did.
    cli.add_argument("--curve", type=Path, required=True, help="the study's curve.csv")
    add_histories(cli)
    cli.add_argument("--shared", nargs="?", help="the study's shared_images.csv, if it has one")
    cli.add_argument("--mean", type=Path, required=True, help="output: one row per criterion, removal, repair and K")
    cli.add_argument("--summary", type=Path, required=True, help="output: one row per criterion, removal and repair")
    cli.add_argument("--text", type=Path, required=True, help="output: the text that is printed after a run")
    cli.add_argument("--comparisons", nargs="?", help="output: each criterion minus random and minus greedy removal")
    return cli


def work(arguments: argparse.Namespace) -> None:
    curve, task = read_table(arguments.curve), arguments.task
    write_table(arguments.mean, mean_curves(curve, task))
    write_table(arguments.summary, summarise(curve, task))
    if arguments.comparisons:
        write_table(arguments.comparisons, paired(curve))
    shared = read_table(arguments.shared) if arguments.shared else None
    warning = warning_of(arguments)
    write_text(arguments.text, summary_text(curve, f"{arguments.text.parent}/figures/", shared, warning, task))


if __name__ == "__main__":
    run(work, options().parse_args())
