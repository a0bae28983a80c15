"""Explain the curves: where the most frequent answer changes, which class is lost first, what each metric shows."""

import argparse
from pathlib import Path

import pandas as pd

from prunecurve.commandline import parser, run
from prunecurve.data import tasks
from prunecurve.files import write_text
from prunecurve.statistics.class_recall import KEYS, class_recall, inputs_per_class, read_names
from prunecurve.statistics.curves import add_classes, add_curves, rows_of, without_class_counts
from prunecurve.statistics.means import read_table
from prunecurve.statistics.shape import shape_table
from prunecurve.statistics.shape_text import explanation
from prunecurve.tables import write_rows, write_table


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument("--curve", type=Path, required=True, help="the study's")
    add_curves(cli)
    cli.add_argument("--task", choices=tasks.names(), default=tasks.DEFAULT, help="the task of the study")
    cli.add_argument(
        "--recalls", type=Path, nargs="?", help="the study's class_recall.csv, if its rows have counts of classes"
    )
    add_classes(cli)
    cli.add_argument("--shown", type=Path, required=True, help="output: all rows of one criterion")
    cli.add_argument("--table", type=Path, required=True, help="output: one row per network, ranking and removal")
    cli.add_argument("--text", type=Path, required=True, help="output: the explanation in sentences, of the same")
    return cli


def recalls_of(arguments: argparse.Namespace, rows: list[dict[str, str]], names: list[str]) -> pd.DataFrame:
    """Return the recalls of all classes: those of the study, and those of the rows."""
    inputs = inputs_per_class(arguments.classes[1], arguments.seeds, len(names))
    own = class_recall(rows, inputs, names).astype({"seed": int, "k": int})
    return pd.concat([read_table(arguments.recalls), own]).drop_duplicates([*KEYS, "class"])


def work(arguments: argparse.Namespace) -> None:
    rows = rows_of(arguments)
    kept, task, names, recalls = without_class_counts(rows), arguments.task, [], None
    if arguments.recalls:
        names = read_names(arguments.classes[0], task)
        recalls = recalls_of(arguments, rows, names)
        # With its name, so that the figure needs no other file.
        answers, _ = tasks.load(task).answers(pd.DataFrame(rows), names)
        kept = [row | {"answer": name} for row, name in zip(kept, answers)]
    write_rows(arguments.shown, kept, sealed=False)
    shown = read_table(arguments.shown)
    curves = pd.concat([read_table(arguments.curve), shown.drop(columns="answer", errors="ignore")])
    write_text(arguments.text, explanation(shown, task, recalls=recalls))
    write_table(arguments.table, shape_table(curves.drop_duplicates(list(KEYS)), task, names, recalls))


if __name__ == "__main__":
    run(work, options().parse_args())
