"""Collect the rows of evaluations. Each evaluation job writes one file of rows."""

import itertools
import os
import re
from collections.abc import Mapping, Sequence

from prunecurve.errors import StudyError
from prunecurve.files import read_rows

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
    k_batches: Sequence[str],
    ks: Sequence[str],
) -> list[dict[str, str]]:
    """Return all rows of the curves of these seeds, criteria and removals.

    pattern: a path with the placeholders {seed}, {criterion}, {removal} and {ks}. k_batches: the values of {ks}.
    """
    rows = []
    for seed, criterion, removal in itertools.product(seeds, criteria, removals):
        path = pattern.format(seed=seed, criterion=criterion, removal=removal, ks="{ks}")
        rows += one_curve([path.format(ks=batch) for batch in k_batches], ks)
    return rows


def without_class_counts(rows: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return the rows without the columns of single classes, if they have any."""
    kept = [name for name in rows[0] if not CLASS_COUNT.fullmatch(name)]
    return [{name: row[name] for name in kept} for row in rows]
