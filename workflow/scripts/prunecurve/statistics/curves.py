"""Collect the rows of evaluations, one file per job; the recall of each class, and its share of the answers."""

import argparse
import itertools
import os
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from prunecurve.arrays import load_array
from prunecurve.data import tasks
from prunecurve.errors import StudyError
from prunecurve.sweep.k_batches import from_words, of_variant
from prunecurve.tables import read_rows

# All columns but the exact counts of one class, see data/tasks, which become a table of their own.
NO_CLASS_COUNT = r"^(?!(correct|predicted)_\d+$)"
# Decimals of a share. The counts can be computed from it for fewer than 500,000 inputs. A study with 100 classes, 128
# K, 5 networks and 20 rankings has 1.3 million rows of about 56 bytes.
DECIMALS = 6
KEYS = ["seed", "criterion", "removal", "k"]


def gather(
    pattern: str,
    seeds: Sequence[str],
    criteria: Sequence[str],
    removals: Sequence[str],
    k_batches: Mapping[str, Sequence[int]],
) -> pd.DataFrame:
    """Return all rows of the curves of these seeds, criteria and removals as text, so that no number is reformatted.

    pattern: a path with the placeholders {seed}, {criterion}, {removal} and {ks}. k_batches: the K of each file by its
    {ks}, in ascending order. Raises StudyError unless each curve has exactly one row for each K.
    """
    rows, every = [], [str(k) for ks in k_batches.values() for k in ks]
    for seed, criterion, removal in itertools.product(seeds, criteria, removals):
        jobs = of_variant(k_batches, removal)
        paths = [pattern.format(seed=seed, criterion=criterion, removal=removal, ks=job) for job in jobs]
        curve = [row for path in paths for row in read_rows(path)]
        if [row.get("k") for row in curve] != every:
            folder = os.path.dirname(paths[0])
            raise StudyError(f"{folder} does not hold exactly one row for each K of the study; delete it and run again")
        rows += curve
    return pd.DataFrame(rows)


def add_curves(cli: argparse.ArgumentParser) -> None:
    """Add the options for the rows of some curves, and for what counts of classes need."""
    # A pattern, not the files: a study has thousands of files, too many for one command line.
    placeholders = "{seed}, {criterion}, {removal}, {ks}"
    cli.add_argument("--rows", required=True, help=f"path of rows, with placeholders {placeholders}")
    cli.add_argument("--removals", nargs="+", required=True)
    jobs = "the K of each file of a curve by its {ks}, in ascending order; K alone is a file of one"
    cli.add_argument("--ks", nargs="+", required=True, metavar="KS=K,K,…", help=jobs)
    files = "if the rows have counts of classes: their names, and the path of the test labels with placeholder {seed}"
    cli.add_argument("--classes", nargs="*", default=[], metavar=("NAMES", "LABELS"), help=files)
    tasks.add_task(cli)


def rows_of(arguments: argparse.Namespace) -> pd.DataFrame:
    """Return all rows of the curves that the options of `add_curves` name."""
    chosen = arguments.seeds, arguments.criteria, arguments.removals
    return gather(arguments.rows, *chosen, from_words(arguments.ks))


def without_class_counts(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows without the columns of single classes, if they have any."""
    return rows.filter(regex=NO_CLASS_COUNT)


def class_names(arguments: argparse.Namespace) -> list[str]:
    """Return the names of the labels; none if there is no option `--classes`."""
    names = [row["name"] for row in read_rows(arguments.classes[0])] if arguments.classes else []
    return list(tasks.inputs_of(arguments.task).class_names(names)) if names else []


def recalls_of(arguments: argparse.Namespace, rows: pd.DataFrame) -> pd.DataFrame:
    """Return `class_recall` of the rows, with the options of `add_curves`."""
    names = class_names(arguments)
    labels = {seed: load_array(arguments.classes[1].format(seed=seed)) for seed in arguments.seeds}
    return class_recall(rows, {seed: np.bincount(each, minlength=len(names)) for seed, each in labels.items()}, names)


def class_recall(rows: pd.DataFrame, inputs: Mapping[str, np.ndarray], names: Sequence[str]) -> pd.DataFrame:
    """Return one row per row of a curve and class: the table class_recall.csv.

    rows: of `gather`, with the columns `correct_{c}` and `predicted_{c}` of each class. inputs: the number of inputs of
    each class, int64 (C,), by seed. names: the names of the classes.
    """
    correct, answers = (
        rows[[f"{kind}_{label}" for label in range(len(names))]].astype(int).to_numpy()
        for kind in ("correct", "predicted")
    )
    sizes = np.stack([inputs[seed] for seed in rows["seed"]])
    table = rows.loc[rows.index.repeat(len(names)), KEYS].reset_index(drop=True)
    return table.assign(
        **{"class": np.tile(np.arange(len(names)), len(rows)), "name": np.tile(np.array(names, object), len(rows))},
        inputs=sizes.ravel(),
        recall=(correct / np.maximum(sizes, 1)).ravel().round(DECIMALS),
        answers=(answers / sizes.sum(axis=1, keepdims=True)).ravel().round(DECIMALS),
    )
