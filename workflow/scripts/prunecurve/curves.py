"""Gathering the rows of evaluations that lie in files of one job each."""

import itertools
import os
from collections.abc import Sequence

from prunecurve.errors import StudyError
from prunecurve.files import read_rows


def one_curve(paths: Sequence[str], ks: Sequence[str]) -> list[dict[str, str]]:
    """The rows of these files, as text, so that no number changes its form; StudyError unless one for each K."""
    rows = [row for path in paths for row in read_rows(path)]
    if [row.get("k") for row in rows] != list(ks):
        folder = os.path.dirname(paths[0])
        raise StudyError(f"{folder}: the rows are not one for each K of the study; delete the folder and run again")
    return rows


def gather(
    pattern: str,
    seeds: Sequence[str],
    criteria: Sequence[str],
    removals: Sequence[str],
    packs: Sequence[str],
    ks: Sequence[str],
) -> list[dict[str, str]]:
    """All rows of these curves. pattern: a path with {seed}, {criterion}, {removal} and {ks}, for which packs stand."""
    rows = []
    for seed, criterion, removal in itertools.product(seeds, criteria, removals):
        path = pattern.format(seed=seed, criterion=criterion, removal=removal, ks="{ks}")
        rows += one_curve([path.format(ks=pack) for pack in packs], ks)
    return rows
