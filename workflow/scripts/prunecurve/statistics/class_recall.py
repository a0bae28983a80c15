"""The table class_recall.csv: the recall of each class, and its share of the answers, in every evaluation."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from prunecurve.arrays import load_array
from prunecurve.data import tasks
from prunecurve.tables import read_rows

# Decimals of a share. The counts can be computed from it for fewer than 500,000 inputs. A study with 100 classes, 128
# K, 5 networks and 20 rankings has 1.3 million rows of about 56 bytes.
DECIMALS = 6
KEYS = ("seed", "criterion", "removal", "k")


def class_recall(
    rows: Sequence[Mapping[str, str]], inputs: Mapping[str, np.ndarray], names: Sequence[str]
) -> pd.DataFrame:
    """Return one row per row of a curve and class.

    rows: with the columns `correct_{c}` and `predicted_{c}` of each class, as text. inputs: of `inputs_per_class`.
    names: the names of the classes.
    """
    classes, count = len(names), len(rows)
    correct, answers = (
        np.array([[int(row[f"{kind}_{label}"]) for label in range(classes)] for row in rows])
        for kind in ("correct", "predicted")
    )
    sizes = np.stack([inputs[row["seed"]] for row in rows])
    total = sizes.sum(axis=1, keepdims=True)
    return pd.DataFrame(
        {key: np.repeat(np.array([row[key] for row in rows], object), classes) for key in KEYS}
        | {"class": np.tile(np.arange(classes), count), "name": np.tile(np.array(names, object), count)}
        | {"inputs": sizes.ravel()}
        | {"recall": (correct / np.maximum(sizes, 1)).ravel().round(DECIMALS)}
        | {"answers": (answers / total).ravel().round(DECIMALS)}
    )


def read_names(path: Path, task: str) -> list[str]:
    """Return the names of a task's labels, given source/classes.csv."""
    return list(tasks.load(task).class_names([row["name"] for row in read_rows(path)]))


def inputs_per_class(pattern: str, seeds: Iterable[str], classes: int) -> dict[str, np.ndarray]:
    """Return the number of inputs of each class, int64 (C,), by seed.

    pattern: the path of the labels of a split, with the placeholder {seed}.
    """
    return {seed: np.bincount(load_array(pattern.format(seed=seed)), minlength=classes) for seed in seeds}
