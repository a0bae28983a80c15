"""What the texts of a study have in common: numbers with their intervals, and notes."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

# Wherever the largest K is shown.
NOT_COMPARED = (
    "Do not compare it between layers of different numbers of channels or with a different sweep.ks: the more K are "
    "evaluated, the earlier one of them is outside by chance."
)

# What is fitted after channels were removed.
REPAIRS = {
    "none": "as it is",
    "bias": "biases fitted",
    "refit": "readers refitted",
    "refit_bias": "readers refitted, biases fitted",
}
# The same in the columns of a table.
SHORT_REPAIRS = {"none": "as it is", "bias": "biases", "refit": "refitted", "refit_bias": "refitted, biases"}


def number(row: Mapping[str, Any], digits: int, sign: str = "", prefix: str = "") -> str:
    """Return `mean [low, high]` with a real minus sign; without the interval, which one network does not have.

    sign: `+` to show the sign of positive numbers too. prefix: of the names mean, low and high in the row.
    """
    values = [row[f"{prefix}{part}"] for part in ("mean", "low", "high")]
    mean, low, high = (f"{value:{sign}.{digits}f}".replace("-", "−") for value in values)
    return mean if math.isnan(values[1]) else f"{mean} [{low}, {high}]"


def label(name: str) -> str:
    """Return a config name as words."""
    return name.replace("_", " ")


def variant_text(removal: str, repair: str) -> str:
    """Return a removal and its repair as words: `structural, readers refitted`."""
    return ", ".join([label(removal), *([] if repair == "none" else [REPAIRS[repair]])])


def unpruned_text(repair: str) -> str:
    """Return what K = 0 is with a repair: a refit without removed channels changes nothing, fitted biases do."""
    return "unpruned, biases fitted" if "bias" in repair else "unpruned"


def networks_text(count: int) -> str:
    """Return `3 networks (seeds)`."""
    return f"{count} networks (seeds)" if count > 1 else "one network (seed)"


def means_over(seeds: int) -> str:
    """Return the sentence that says what the numbers of a text are means over."""
    return f"Means over {networks_text(seeds)} [95 % Student t interval]." if seeds > 1 else "One network (seed)."


def as_range(values: pd.Series) -> str:
    """Return the smallest and the largest of integers: `5 to 7`, or `5` if they are equal."""
    low, high = int(values.min()), int(values.max())
    return f"{low}" if low == high else f"{low} to {high}"
