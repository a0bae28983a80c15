"""How many channels can be removed from each layer: the largest K within one percentage point, and what this frees."""

import pandas as pd

from prunecurve.statistics.means import GROUP, by_criterion, by_network, largest_k_within, spread
from prunecurve.statistics.text import NOT_COMPARED, SHORT_REPAIRS, means_over, number
from prunecurve.text import text_table, wrapped

METRIC = "balanced_accuracy"
SHARES = ("share_removed", "params_freed", "macs_freed")
HEADER = (
    ("layer", "channels", "criterion", "repair", "largest K", "of the", "parameters", "MACs"),
    ("", "", "", "", "", "channels", "freed", "freed"),
)
NOTES = (
    "largest K: balanced accuracy is within one percentage point of that of the unpruned network at this and every "
    f"smaller evaluated K. {NOT_COMPARED}",
    "Only the channels of this layer (and of the layers that compute the same channels) are removed.",
    "freed: share of the parameters and MACs of the whole network that are gone without the K channels.",
)


def sensitivity_table(sensitivity: pd.DataFrame) -> pd.DataFrame:
    """Return one row per layer, criterion and repair of a sensitivity.csv, in its order.

    Means over networks, and their intervals.

    Columns: dataset, layer, criterion, removal, repair, channels, seeds and draws (orders of each network, averaged
    first); and NAME_mean, NAME_low, NAME_high (95 % Student t) of: largest_k, the largest K such that balanced accuracy
    at this and every smaller evaluated K is at most one percentage point below that of the unpruned network;
    share_removed, this K as a share of the channels; params_freed and macs_freed, shares of the whole network.
    """
    draws, rows = by_criterion(sensitivity).groupby(GROUP)["order"].nunique(), []
    for names, networks in by_network(sensitivity, _quantities).groupby(GROUP, sort=False):
        channels = int(networks["channels"].iloc[0])
        row = dict(zip(GROUP, names)) | {"channels": channels, "seeds": len(networks), "draws": int(draws[names])}
        for name in ("largest_k", *SHARES):
            values = spread(networks[name], channels - 1 if name == "largest_k" else 1)
            row |= {f"{name}_{part}": values[part] for part in ("mean", "low", "high")}
        rows.append(row)
    return pd.DataFrame(rows)


def _quantities(curve: pd.DataFrame) -> dict[str, float]:
    """Return the quantities of one curve, with rows in ascending order of K."""
    k = largest_k_within(curve["k"].to_numpy(), curve[METRIC].to_numpy())
    first, at, channels = curve.iloc[0], curve[curve["k"] == k].iloc[0], int(curve["channels_left"].max())
    freed = {f"{name}_freed": 1 - at[name] / first[name] for name in ("params", "macs")}
    return {"channels": channels, "largest_k": k, "share_removed": k / channels} | freed


def sensitivity_text(table: pd.DataFrame, figures: str, warning: str = "") -> str:
    """Return the result of `sensitivity_table` as text.

    figures: where the study's figures are. warning: of `histories.warning_of`, the first line.
    """
    title = (
        f"{table['dataset'].iloc[0]}: how many channels can be removed from each layer within one percentage point of "
        f"balanced accuracy. {means_over(int(table['seeds'].max()))}"
    )
    cells = [
        [row["layer"], str(row["channels"]), row["criterion"], SHORT_REPAIRS[row["repair"]]]
        + [number(row, digits=1, prefix="largest_k_")]
        + [f"{100 * row[f'{name}_mean']:.1f} %" for name in SHARES]
        for row in table.to_dict("records")
    ]
    lines = text_table([*HEADER, *cells], ["left", "right", "left", "left", "right"])
    blocks = [wrapped(warning)] if warning else []
    blocks += [wrapped(title), lines, "\n".join(map(wrapped, NOTES)), f"Figures: {figures}"]
    return "\n\n".join(blocks) + "\n"
