"""From the rows of all evaluations to one row a criterion: curves summed up a network, then over networks.

The unit of replication is the trained network (seed). Intervals are Student's t over seeds.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from prunecurve.errors import StudyError

CONFIDENCE = 0.95
# "Within one point of the unpruned network": a hundredth of accuracy.
POINT = 0.01
GROUP = ["dataset", "criterion", "removal"]


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a CSV file of the workflow; StudyError, naming the file, when it is missing or broken."""
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise StudyError(f"{path} is not a readable CSV file ({error}); delete it and run again") from error


def normalised_area(k: np.ndarray, values: np.ndarray) -> float:
    """Area under values over K by the trapezoid rule, divided by the range of K: the mean height, in [0, 1]."""
    return float(np.trapezoid(values, k) / (k[-1] - k[0])) if len(k) > 1 else float(values[0])


def largest_k_within(k: np.ndarray, values: np.ndarray, margin: float = POINT) -> int:
    """The largest K whose value is at most `margin` below that of the smallest K, the unpruned network's."""
    # Accuracies are ratios of counts; the slack keeps "exactly one point" within it.
    return int(k[values >= values[0] - margin - 1e-12].max())


# What is told of one network's curve, a row for each K in rising order.
QUANTITIES: dict[str, Callable[[pd.DataFrame], float]] = {
    "control_accuracy": lambda c: c["accuracy"].iloc[0],
    "control_balanced_accuracy": lambda c: c["balanced_accuracy"].iloc[0],
    "accuracy_area": lambda c: normalised_area(c["k"].to_numpy(), c["accuracy"].to_numpy()),
    "balanced_accuracy_area": lambda c: normalised_area(c["k"].to_numpy(), c["balanced_accuracy"].to_numpy()),
    "largest_k_accuracy": lambda c: largest_k_within(c["k"].to_numpy(), c["accuracy"].to_numpy()),
    "largest_k_balanced_accuracy": lambda c: largest_k_within(c["k"].to_numpy(), c["balanced_accuracy"].to_numpy()),
}


def interval(values: pd.Series) -> tuple[float, float]:
    """The 95 % Student t interval of the mean of values over networks; not numbers for fewer than two."""
    n = len(values)
    if n < 2:
        return float("nan"), float("nan")
    # Imported here: most figures need this module, and none of them this import's second.
    from scipy import stats

    half = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return float(values.mean() - half), float(values.mean() + half)


def summarise(curve: pd.DataFrame) -> pd.DataFrame:
    """A row for each criterion and removal of a curve.csv: for each quantity its mean, std and interval over seeds.

    Intervals are cut off at what the quantity can be.
    """
    rows = []
    for names, curves in curve.groupby(GROUP, sort=False):
        networks = pd.DataFrame(
            {name: quantity(one.sort_values("k")) for name, quantity in QUANTITIES.items()}
            for _, one in curves.groupby("seed")
        )
        row = dict(zip(GROUP, names)) | {"seeds": len(networks), "interval": f"Student t {CONFIDENCE:.0%}"}
        for name in QUANTITIES:
            # No quantity is negative; a share is at most 1 and a K at most the largest that was evaluated.
            low, high = np.clip(interval(networks[name]), 0, curves["k"].max() if name.startswith("largest_k") else 1)
            row |= {
                f"{name}_mean": networks[name].mean(),
                f"{name}_std": networks[name].std(ddof=1),
                f"{name}_low": low,
                f"{name}_high": high,
            }
        rows.append(row)
    return pd.DataFrame(rows)


def over_seeds(curve: pd.DataFrame, metric: str) -> pd.DataFrame:
    """For each K (index): columns mean, low, high, of a metric over seeds, the interval clipped to [0, 1]."""
    by_k = curve.groupby("k")[metric]
    ends = by_k.apply(interval)
    return pd.DataFrame(
        {
            "mean": by_k.mean(),
            "low": ends.map(lambda pair: pair[0]).clip(0, 1),
            "high": ends.map(lambda pair: pair[1]).clip(0, 1),
        }
    )
