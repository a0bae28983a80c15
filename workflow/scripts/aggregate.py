"""Collect the rows of all seeds, criteria, removals and K in one table, the curve; recalls of classes in another."""

import argparse
from pathlib import Path

from prunecurve.commandline import log, parser, run
from prunecurve.data import tasks
from prunecurve.files import write_rows, write_table
from prunecurve.statistics.curves import gather, without_class_counts


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    # A pattern, not the files: a study has thousands of files, too many for one command line.
    cli.add_argument(
        "--rows", required=True, help="path of rows, with placeholders {seed}, {criterion}, {removal}, {ks}"
    )
    cli.add_argument("--seeds", nargs="+", required=True)
    cli.add_argument("--criteria", nargs="+", required=True)
    cli.add_argument("--removals", nargs="+", required=True)
    cli.add_argument("--k-batches", nargs="+", required=True, help="batches of K, values of {ks}, in ascending order")
    cli.add_argument("--ks", nargs="+", required=True, help="the values of K that each curve must have")
    cli.add_argument("--classes", type=Path, help="the names of the classes, if the rows have counts of classes")
    cli.add_argument("--labels", help="path of the test labels, with placeholder {seed}, as --classes")
    cli.add_argument("--curve", type=Path, required=True, help="output: all rows, without counts of classes")
    cli.add_argument("--recalls", type=Path, help="output: one row per row of the curve and class, as --classes")
    cli.add_argument("--task", default=tasks.DEFAULT, help="the task, which names the classes")
    return cli


def write_recalls(arguments: argparse.Namespace, rows: list[dict[str, str]]) -> None:
    """Write class_recall.csv."""
    # Imported here, because pandas takes longer than the rest, and most studies have no such table.
    from prunecurve.statistics.class_recall import class_recall, inputs_per_class, read_names

    names = read_names(arguments.classes, arguments.task)
    inputs = inputs_per_class(arguments.labels, arguments.seeds, len(names))
    write_table(arguments.recalls, class_recall(rows, inputs, names))


def work(arguments: argparse.Namespace) -> None:
    chosen = arguments.seeds, arguments.criteria, arguments.removals
    rows = gather(arguments.rows, *chosen, arguments.k_batches, arguments.ks)
    write_rows(arguments.curve, without_class_counts(rows), sealed=False)
    if arguments.recalls:
        write_recalls(arguments, rows)
    log.info("%d rows", len(rows))


if __name__ == "__main__":
    run(work, options().parse_args())
