"""What each layer can lose: the largest K within one percentage point, and what the removal of K channels frees."""

import numpy as np
import pandas as pd

from prunecurve.statistics.means import GROUP, by_criterion, interval, largest_k_within
from prunecurve.statistics.summary_text import NOT_COMPARED, number, wrapped

METRIC = "balanced_accuracy"
# The limits of each quantity; None for the number of channels.
QUANTITIES = {"largest_k": None, "share_removed": 1.0, "params_freed": 1.0, "macs_freed": 1.0}
HEADER = (
    ("layer", "channels", "criterion", "largest K", "of the", "parameters", "MACs"),
    ("", "", "", "", "channels", "freed", "freed"),
)
LEFT = ("layer", "criterion")
NOTES = (
    "largest K: balanced accuracy is within one percentage point of that of the unpruned network at this and every "
    f"smaller evaluated K. {NOT_COMPARED}",
    "Only the channels of this layer (and of the layers that compute the same channels) are removed.",
    "freed: share of the parameters and MACs of the whole network that are gone without the K channels.",
)


def losses(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per layer and criterion of a sensitivity.csv, in its order: means over networks and intervals.

    Columns: dataset, layer, criterion, removal, channels, seeds and draws (orders of each network, averaged first); and
    NAME_mean, NAME_low, NAME_high (95 % Student t) of: largest_k, the largest K such that balanced accuracy at this and
    every smaller evaluated K is at most one percentage point below that of the unpruned network; share_removed, this K
    as a share of the channels; params_freed and macs_freed, shares of the whole network.
    """
    curves = by_criterion(table.sort_values("k", kind="stable"))
    keys = [*GROUP, "seed"]
    orders = pd.DataFrame(
        dict(zip(keys, names)) | _of_curve(curve) for (*names, _), curve in curves.groupby([*keys, "order"], sort=False)
    )
    networks = orders.groupby(keys, sort=False, as_index=False).mean()
    draws = curves.groupby(GROUP)["order"].nunique()
    order = by_criterion(table)[GROUP].drop_duplicates().itertuples(index=False, name=None)
    groups = dict(list(networks.groupby(GROUP, sort=False)))
    rows = []
    for names in order:
        group = groups[names]
        row = dict(zip(GROUP, names)) | {"channels": int(group["channels"].iloc[0])}
        row |= {"seeds": len(group), "draws": int(draws[names])}
        for name, highest in QUANTITIES.items():
            low, high = np.clip(interval(group[name]), 0, row["channels"] - 1 if highest is None else highest)
            row |= {f"{name}_mean": group[name].mean(), f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def _of_curve(curve: pd.DataFrame) -> dict[str, float]:
    """Return the quantities of one curve, with rows in ascending order of K."""
    k = largest_k_within(curve["k"].to_numpy(), curve[METRIC].to_numpy())
    first, at, channels = curve.iloc[0], curve[curve["k"] == k].iloc[0], int(curve["channels_left"].max())
    freed = {f"{name}_freed": 1 - at[name] / first[name] for name in ("params", "macs")}
    return {"channels": channels, "largest_k": k, "share_removed": k / channels} | freed


def sensitivity_text(rows: pd.DataFrame, figures: str, warning: str = "") -> str:
    """Return the result of `losses` as text.

    figures: where the study's figures are. warning: of `histories.warning_about`, the first line.
    """
    first, seeds = rows.iloc[0], int(rows["seeds"].max())
    over = f"Means over {seeds} networks (seeds) [95 % Student t interval]." if seeds > 1 else "One network (seed)."
    title = f"{first['dataset']}: how much each layer can lose within one percentage point of balanced accuracy. {over}"
    lines = [*HEADER, *(_cells(row) for _, row in rows.iterrows())]
    widths = [max(map(len, column)) for column in zip(*lines)]
    table = "\n".join("  ".join(_aligned(line, widths)).rstrip() for line in lines)
    blocks = [wrapped(warning)] if warning else []
    return "\n\n".join([*blocks, wrapped(title), table, "\n".join(map(wrapped, NOTES)), f"Figures: {figures}"]) + "\n"


def _cells(row: pd.Series) -> tuple[str, ...]:
    def share(name: str) -> str:
        return f"{100 * row[f'{name}_mean']:.1f} %"

    k = number({part: row[f"largest_k_{part}"] for part in ("mean", "low", "high")}, digits=1)
    shares = [share(name) for name in ("share_removed", "params_freed", "macs_freed")]
    return row["layer"], str(row["channels"]), row["criterion"], k, *shares


def _aligned(line: tuple[str, ...], widths: list[int]) -> list[str]:
    return [
        f"{cell:<{width}}" if name in LEFT else f"{cell:>{width}}" for cell, width, name in zip(line, widths, HEADER[0])
    ]
