"""Explain the curves: where the most frequent answer changes, which class is lost first, what each metric shows."""

import argparse
from pathlib import Path

import pandas as pd

from prunecurve.commandline import parser, run
from prunecurve.data import tasks
from prunecurve.files import write_text
from prunecurve.statistics.curves import KEYS, add_curves, class_names, recalls_of, rows_of, without_class_counts
from prunecurve.statistics.means import read_table
from prunecurve.statistics.shape import explanation, shape_table
from prunecurve.tables import write_table


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__, "--seeds", "--criteria")
    cli.add_argument("--curve", type=Path, required=True, help="the study's")
    add_curves(cli)
    cli.add_argument("--recalls", type=Path, nargs="?", help="class_recall.csv, if the rows have counts of classes")
    cli.add_argument("--shown", type=Path, required=True, help="output: all rows of one criterion")
    cli.add_argument(
        "--table", type=Path, required=True, help="output: one row per network, ranking, removal and repair"
    )
    cli.add_argument("--text", type=Path, required=True, help="output: the explanation in sentences, of the same")
    return cli


def work(arguments: argparse.Namespace) -> None:
    rows, task, names = rows_of(arguments), arguments.task, class_names(arguments)
    kept, recalls = without_class_counts(rows), None
    if arguments.recalls:
        own = recalls_of(arguments, rows).astype({"seed": int, "k": int})
        recalls = pd.concat([read_table(arguments.recalls), own]).drop_duplicates([*KEYS, "class"])
        # With its name, so that the figure needs no other file.
        kept = kept.assign(answer=tasks.metrics_of(task).answers(rows, names)[0])
    write_table(arguments.shown, kept)
    shown = read_table(arguments.shown)
    curves = pd.concat([read_table(arguments.curve), shown.drop(columns="answer", errors="ignore")])
    write_text(arguments.text, explanation(shown, task, recalls=recalls))
    write_table(arguments.table, shape_table(curves.drop_duplicates(KEYS), task, names, recalls))


if __name__ == "__main__":
    run(work, options().parse_args())
