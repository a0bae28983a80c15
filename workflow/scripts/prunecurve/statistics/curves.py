"""Collect the rows of evaluations. Each evaluation job writes one file of rows."""

import argparse
import itertools
import os
import re
from collections.abc import Mapping, Sequence

from prunecurve.errors import StudyError
from prunecurve.sweep.k_batches import from_words
from prunecurve.tables import read_rows

# The exact counts of one class in a row, see data/tasks. They become a table of their own.
CLASS_COUNT = re.compile(r"(correct|predicted)_\d+")


def one_curve(paths: Sequence[str], ks: Sequence[str]) -> list[dict[str, str]]:
    """Read the rows of one curve as text, so that no number is reformatted.

    Raises StudyError unless there is exactly one row for each K, in ascending order.
    """
    rows = [row for path in paths for row in read_rows(path)]
    if [row.get("k") for row in rows] != list(ks):
        folder = os.path.dirname(paths[0])
        raise StudyError(f"{folder} does not hold exactly one row for each K of the study; delete it and run again")
    return rows


def gather(
    pattern: str,
    seeds: Sequence[str],
    criteria: Sequence[str],
    removals: Sequence[str],
    k_batches: Mapping[str, Sequence[int]],
) -> list[dict[str, str]]:
    """Return all rows of the curves of these seeds, criteria and removals.

    pattern: a path with the placeholders {seed}, {criterion}, {removal} and {ks}. k_batches: the K of each file by its
    {ks}, in ascending order.
    """
    rows, every = [], [str(k) for ks in k_batches.values() for k in ks]
    for seed, criterion, removal in itertools.product(seeds, criteria, removals):
        path = pattern.format(seed=seed, criterion=criterion, removal=removal, ks="{ks}")
        rows += one_curve([path.format(ks=batch) for batch in k_batches], every)
    return rows


def add_curves(cli: argparse.ArgumentParser) -> None:
    """Add the options for the rows of some curves."""
    # A pattern, not the files: a study has thousands of files, too many for one command line.
    placeholders = "{seed}, {criterion}, {removal}, {ks}"
    cli.add_argument("--rows", required=True, help=f"path of rows, with placeholders {placeholders}")
    cli.add_argument("--seeds", nargs="+", required=True)
    cli.add_argument("--criteria", nargs="+", required=True)
    cli.add_argument("--removals", nargs="+", required=True)
    jobs = "the K of each file of a curve by its {ks}, in ascending order; K alone is a file of one"
    cli.add_argument("--ks", nargs="+", required=True, metavar="KS=K,K,…", help=jobs)


def rows_of(arguments: argparse.Namespace) -> list[dict[str, str]]:
    """Return all rows of the curves that the options of `add_curves` name."""
    chosen = arguments.seeds, arguments.criteria, arguments.removals
    return gather(arguments.rows, *chosen, from_words(arguments.ks))


def add_classes(cli: argparse.ArgumentParser) -> None:
    """Add the option for what counts of classes need; it may have no values."""
    files = "if the rows have counts of classes: their names, and the path of the test labels with placeholder {seed}"
    cli.add_argument("--classes", nargs="*", default=[], metavar=("NAMES", "LABELS"), help=files)


def without_class_counts(rows: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return the rows without the columns of single classes, if they have any."""
    kept = [name for name in rows[0] if not CLASS_COUNT.fullmatch(name)]
    return [{name: row[name] for name in kept} for row in rows]
