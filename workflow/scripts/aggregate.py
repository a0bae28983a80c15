"""Collect the rows of all seeds, criteria, removals and K in the curve, and recalls of classes in a second table."""

import argparse
from pathlib import Path

from prunecurve.commandline import log, parser, run
from prunecurve.data import tasks
from prunecurve.statistics.curves import add_classes, add_curves, rows_of, without_class_counts
from prunecurve.tables import write_rows, write_table


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    add_curves(cli)
    add_classes(cli)
    cli.add_argument("--curve", type=Path, required=True, help="output: all rows, without counts of classes")
    cli.add_argument("--recalls", nargs="?", help="output: one row per row of the curve and class, with --classes")
    cli.add_argument("--task", default=tasks.DEFAULT, help="the task, which names the classes")
    return cli


def write_recalls(arguments: argparse.Namespace, rows: list[dict[str, str]]) -> None:
    """Write class_recall.csv."""
    # Imported here, because pandas takes longer than the rest, and most studies have no such table.
    from prunecurve.statistics.class_recall import class_recall, inputs_per_class, read_names

    classes, labels = arguments.classes
    names = read_names(classes, arguments.task)
    inputs = inputs_per_class(labels, arguments.seeds, len(names))
    write_table(arguments.recalls, class_recall(rows, inputs, names))


def work(arguments: argparse.Namespace) -> None:
    rows = rows_of(arguments)
    write_rows(arguments.curve, without_class_counts(rows), sealed=False)
    if arguments.recalls:
        write_recalls(arguments, rows)
    log.info("%d rows", len(rows))


if __name__ == "__main__":
    run(work, options().parse_args())
