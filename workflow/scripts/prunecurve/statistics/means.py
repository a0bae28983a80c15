"""From the rows of all evaluations to means over networks: of each K, and of each criterion's whole curve.

The unit of replication is the trained network (seed): several random orders of one network are averaged first.
"""

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from prunecurve.data import tasks
from prunecurve.errors import StudyError, unreadable
from prunecurve.naming import criterion_of
from prunecurve.tables import read_text

CONFIDENCE = 0.95
# With fewer networks the bootstrap has too few distinct resamples to estimate the tails.
BOOTSTRAP_FROM, RESAMPLES = 10, 9999
# One percentage point of accuracy.
POINT = 0.01
# How channels are removed: the kind of removal, and what is fitted afterwards.
VARIANT = ["removal", "repair"]
GROUP = ["dataset", "layer", "criterion", *VARIANT]

# Properties of the architecture, which networks of one study share.
SIZES = ["params", "macs", "compression_ratio", "theoretical_speedup"]
# Columns with names that users choose: texts, also if they look like numbers (the layer 4.10) or missing values.
TEXTS = ("dataset", "layer", "name", "answer")


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a CSV file of the workflow, see `files.read_text`.

    Raises StudyError, naming the file, when it is damaged.
    """
    texts, text = dict.fromkeys(TEXTS, str), io.StringIO(read_text(path))
    try:
        table = pd.read_csv(text, converters=texts, keep_default_na=False, na_values=["", "nan"])
    except ValueError as error:
        raise unreadable(path, "CSV file", error) from error
    # Archives of older versions have checksums in a column, and no repairs.
    table = table.filter(regex="^(?!crc32)")
    if "method" in table and "budget" not in table:
        raise StudyError(f"{path} is a plan of an older version; run snakemake plan again")
    if "removal" in table and "repair" not in table:
        table.insert(table.columns.get_loc("removal") + 1, "repair", "none")
    return table


def normalised_area(k: np.ndarray, values: np.ndarray) -> float:
    """Return the area under values over K (trapezoid rule), divided by the range of K: the mean height, in [0, 1]."""
    return float(np.trapezoid(values, k) / (k[-1] - k[0])) if len(k) > 1 else float(values[0])


def largest_k_within(k: np.ndarray, values: np.ndarray, margin: float = POINT) -> int:
    """Return the largest K such that it and every smaller K are at most `margin` below the unpruned network.

    k, values: (n,), in ascending order of K; the first is the unpruned network. The first crossing counts: where a
    noisy curve comes back within the margin at a larger K, that K is not the answer.
    """
    # Accuracies are ratios of counts; the tolerance keeps "exactly one point" within the margin.
    inside = values >= values[0] - margin - 1e-12
    return int(k[-1] if inside.all() else k[np.argmin(inside) - 1])


def curve_quantities(curve: pd.DataFrame) -> dict[str, float]:
    """Return the numbers that describe one curve, with one row per K in ascending order: the quantities of summary.csv.

    control_…: the first row, the unpruned network; …_area: `normalised_area`; largest_k_…: `largest_k_within`.
    """
    k, metrics = curve["k"].to_numpy(), {name: curve[name].to_numpy() for name in ("accuracy", "balanced_accuracy")}
    return {
        **{f"control_{name}": values[0] for name, values in metrics.items()},
        **{f"{name}_area": normalised_area(k, values) for name, values in metrics.items()},
        **{f"largest_k_{name}": largest_k_within(k, values) for name, values in metrics.items()},
    }


def half_width(std: pd.Series | float, n: pd.Series | int) -> pd.Series | float:
    """Return half of the 95 % Student t interval of a mean of n values with a standard deviation; NaN for n < 2."""
    # Imported here: scipy.stats takes a second, and most figures need this module without it.
    from scipy import stats

    # n - 1 = 0 degrees of freedom give NaN.
    return stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * std / np.sqrt(n)


def interval(values: pd.Series) -> tuple[float, float]:
    """Return the 95 % Student t interval of the mean of values over networks; NaN for fewer than two."""
    half = half_width(values.std(ddof=1), len(values))
    return float(values.mean() - half), float(values.mean() + half)


def bootstrap_interval(values: pd.Series) -> tuple[float, float]:
    """Return the 95 % bootstrap interval (BCa) of the mean over networks; NaN for fewer than BOOTSTRAP_FROM.

    The resamples come from a fixed seed, so equal values give an equal interval.
    """
    if len(values) < BOOTSTRAP_FROM:
        return float("nan"), float("nan")
    if values.nunique() == 1:
        return float(values.iloc[0]), float(values.iloc[0])
    from scipy import stats

    ends = stats.bootstrap(
        (values.to_numpy(),), np.mean, confidence_level=CONFIDENCE, n_resamples=RESAMPLES, rng=np.random.default_rng(0)
    ).confidence_interval
    return float(ends.low), float(ends.high)


def by_criterion(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with `criterion` set to `random` for its draws (`random-1`, …), and the draw kept as `order`."""
    return table.assign(order=table["criterion"], criterion=table["criterion"].map(criterion_of))


def over_networks(rows: pd.DataFrame, keys: list[str], bounds: Mapping[str, tuple[float, float]]) -> pd.DataFrame:
    """Return the columns NAME_mean, NAME_low and NAME_high of each metric, with the keys as index, in their order.

    The rows of one network (`seed`) are averaged first. low, high: 95 % Student t over networks, clipped to the
    metric's bounds; NaN for one network. A metric that is not a number in one network has no mean: leaving that network
    out would hide it.
    """
    networks = rows.groupby([*keys, "seed"], sort=False)[list(bounds)].mean(skipna=False).groupby(keys, sort=False)
    mean, std, columns = networks.mean(skipna=False), networks.std(ddof=1, skipna=False), {}
    for name, ends in bounds.items():
        half = half_width(std[name], networks.size())
        columns[f"{name}_mean"] = mean[name]
        columns |= {f"{name}_low": (mean[name] - half).clip(*ends), f"{name}_high": (mean[name] + half).clip(*ends)}
    return pd.DataFrame(columns)


def mean_curves(curve: pd.DataFrame, task: str = tasks.DEFAULT) -> pd.DataFrame:
    """Return one row per criterion, removal, repair and K of a curve.csv, in its order: means over networks.

    Columns: dataset, layer, criterion, removal, repair, k, channels_left; seeds (networks) and draws (orders of each
    network, averaged before anything else); those of `over_networks` for each metric of the task that the curve has;
    the task's `constants`; SIZES. Raises StudyError if networks differ in size: a mean over different architectures
    describes none of them.
    """
    constants, bounds = tasks.metrics_of(task).constants(curve), tasks.metrics_of(task).METRICS
    rows, keys = by_criterion(curve).assign(**constants), [*GROUP, "k"]
    group = rows.groupby(keys, sort=False)
    different = group[SIZES].nunique().ne(1).stack()
    if different.any():
        *where, name = map(str, different.idxmax())
        raise StudyError(
            f"curve: networks (seeds) differ in {name} at {', '.join(where)}; a study has one architecture"
        )
    counts = {"channels_left": group["channels_left"].first(), "seeds": group["seed"].nunique()}
    metrics = over_networks(rows, keys, {name: ends for name, ends in bounds.items() if name in curve})
    columns = [pd.DataFrame(counts | {"draws": group["order"].nunique()}), metrics]
    return pd.concat([*columns, group[list(constants)].mean(), group[SIZES].first()], axis=1).reset_index()


def by_network(
    curve: pd.DataFrame, quantities: Callable[[pd.DataFrame], Mapping[str, float]] = curve_quantities
) -> pd.DataFrame:
    """Return one row per network, criterion, removal and repair of a curve.csv: quantities, means over random's draws.

    quantities: a function of one curve, with its rows in ascending order of K.
    """
    keys = [*GROUP, "seed"]
    curves = by_criterion(curve.sort_values("k", kind="stable")).groupby([*keys, "order"], sort=False)
    rows = [{**dict(zip(keys, names)), **quantities(one)} for (*names, _), one in curves]
    return pd.DataFrame(rows).groupby(keys, sort=False, as_index=False).mean()


def summarise(curve: pd.DataFrame, task: str = tasks.DEFAULT) -> pd.DataFrame:
    """Return one row per criterion, removal and repair of a curve.csv: each of `curve_quantities` over networks.

    Columns: mean, std and intervals; `low` and `high` are Student's, clipped to the quantity's range; `bootstrap_low`
    and `bootstrap_high` are empty for fewer than BOOTSTRAP_FROM networks. `draws`: the number of orders of each
    network, averaged first. `constant_accuracy` and other `constants` of the task: the scores of a constant answer.
    """
    constants = tasks.metrics_of(task).constants(curve)
    curves = by_criterion(curve).assign(**constants).groupby(GROUP)
    draws, constant, rows = curves["order"].nunique(), curves[list(constants)].mean(), []
    for names, group in by_network(curve).groupby(GROUP, sort=False):
        n = len(group)
        enough = n >= BOOTSTRAP_FROM
        row = dict(zip(GROUP, names)) | {"seeds": n, "draws": draws[names], "interval": f"Student t {CONFIDENCE:.0%}"}
        row["bootstrap"] = f"BCa {CONFIDENCE:.0%}" if enough else f"none: fewer than {BOOTSTRAP_FROM} seeds"
        row |= constant.loc[names].to_dict()
        for name, values in group.drop(columns=[*GROUP, "seed"]).items():
            highest = curve["k"].max() if name.startswith("largest_k") else 1
            row |= {f"{name}_{part}": value for part, value in spread(values, highest).items()}
        rows.append(row)
    return pd.DataFrame(rows)


def spread(values: pd.Series, highest: float) -> dict[str, float]:
    """Return the mean, standard deviation and intervals of a quantity in [0, highest] over networks."""
    low, high = np.clip(interval(values), 0, highest)
    row = {"mean": values.mean(), "std": values.std(ddof=1), "low": low, "high": high}
    return row | dict(zip(("bootstrap_low", "bootstrap_high"), bootstrap_interval(values)))
