"""From the rows of all evaluations to one row a criterion: curves summed up a network, then over networks.

The unit of replication is the trained network (seed): several random orders of one network are first averaged.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from prunecurve.files import checksum_column, read_rows, read_settings, unreadable
from prunecurve.naming import criterion_of
from prunecurve.provenance import inherit

CONFIDENCE = 0.95
# Fewer networks have too few different resamples for a bootstrap to tell anything of the tails.
BOOTSTRAP_FROM, RESAMPLES = 10, 9999
# "Within one point of the unpruned network": a hundredth of accuracy.
POINT = 0.01
GROUP = ["dataset", "layer", "criterion", "removal"]


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a CSV file of the workflow; its checksums are checked if it has any.

    Raises StudyError, naming the file, when it is damaged.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise unreadable(path, "CSV file", error) from error
    column = checksum_column(list(table))
    if column is None:
        inherit(read_settings(path))
        return table
    read_rows(path)
    return table.drop(columns=column)


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


def bootstrap_interval(values: pd.Series) -> tuple[float, float]:
    """The 95 % bootstrap interval (BCa; the same draws each time) of the mean over networks; not numbers for few."""
    if len(values) < BOOTSTRAP_FROM:
        return float("nan"), float("nan")
    if values.nunique() == 1:
        return float(values.iloc[0]), float(values.iloc[0])
    from scipy import stats

    found = stats.bootstrap(
        (values.to_numpy(),), np.mean, confidence_level=CONFIDENCE, n_resamples=RESAMPLES, rng=np.random.default_rng(0)
    ).confidence_interval
    return float(found.low), float(found.high)


def by_criterion(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with `random` for each of its draws (`random-1`, …) as their criterion, and the draws as `order`."""
    return table.assign(order=table["criterion"], criterion=table["criterion"].map(criterion_of))


def networks(curve: pd.DataFrame) -> pd.DataFrame:
    """A row for each network, criterion and removal of a curve.csv: every quantity, averaged over draws of random."""
    orders = [
        dict(zip([*GROUP, "seed"], names)) | {name: quantity(one) for name, quantity in QUANTITIES.items()}
        for (*names, _), one in by_criterion(curve.sort_values("k", kind="stable")).groupby(
            [*GROUP, "seed", "order"], sort=False
        )
    ]
    return pd.DataFrame(orders).groupby([*GROUP, "seed"], sort=False, as_index=False).mean()


def summarise(curve: pd.DataFrame) -> pd.DataFrame:
    """A row for each criterion and removal of a curve.csv: for each quantity its mean, std and intervals over seeds.

    `low` and `high` are Student's, cut off at what the quantity can be; `bootstrap_low` and `…_high` are there from
    BOOTSTRAP_FROM networks on. `draws`: how many orders of each network the criterion's value is the mean of.
    """
    rows, draws = [], by_criterion(curve).groupby(GROUP)["order"].nunique()
    for names, group in networks(curve).groupby(GROUP, sort=False):
        n = len(group)
        row = dict(zip(GROUP, names)) | {"seeds": n, "draws": draws[names], "interval": f"Student t {CONFIDENCE:.0%}"}
        row["bootstrap"] = (
            f"BCa {CONFIDENCE:.0%}" if n >= BOOTSTRAP_FROM else f"none: fewer than {BOOTSTRAP_FROM} seeds"
        )
        for name in QUANTITIES:
            # No quantity is negative; a share is at most 1 and a K at most the largest that was evaluated.
            low, high = np.clip(interval(group[name]), 0, curve["k"].max() if name.startswith("largest_k") else 1)
            again = bootstrap_interval(group[name])
            row |= {
                f"{name}_mean": group[name].mean(),
                f"{name}_std": group[name].std(ddof=1),
                f"{name}_low": low,
                f"{name}_high": high,
                f"{name}_bootstrap_low": again[0],
                f"{name}_bootstrap_high": again[1],
            }
        rows.append(row)
    # In the order of the curve, which is the config's.
    order = by_criterion(curve)[GROUP].drop_duplicates()
    return order.merge(pd.DataFrame(rows), on=GROUP)


def over_seeds(curve: pd.DataFrame, metric: str, by: str = "k") -> pd.DataFrame:
    """For each K (index): columns mean, low, high, of a metric over seeds, the interval clipped to [0, 1].

    Several orders of a network count as their mean.
    """
    by_k = curve.groupby([by, "seed"])[metric].mean().groupby(by)
    ends = by_k.apply(interval)
    return pd.DataFrame(
        {
            "mean": by_k.mean(),
            "low": ends.map(lambda pair: pair[0]).clip(0, 1),
            "high": ends.map(lambda pair: pair[1]).clip(0, 1),
        }
    )
