"""Balanced accuracy over the epochs of retraining: a panel per K, a line per criterion and start."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from prunecurve.figures import Data, style
from prunecurve.statistics.recovery import METRIC, SCRATCH, STARTS, epochs_text, recovery_table

# The repaired start is solid, as in the figures of all repairs.
DASHES = {"none": style.REPAIR_DASHES["bias"][1], "refit_bias": style.REPAIR_DASHES["refit_bias"][1]}
SCRATCH_LOOKS: dict[str, dict[str, Any]] = {
    "scratch": {"color": style.COLOURS[6], "ls": style.DASHES[2]},
    "scratch_same_compute": {"color": style.COLOURS[6], "ls": style.DASHES[3]},
}
COLUMNS = 3


def draw(data: Data) -> Figure:
    """Return the figure."""
    table = recovery_table(data.table, data.task)
    retrained = table[table["start"].isin(list(STARTS))]
    epochs, ks = sorted(retrained["epochs"].unique()), sorted(table["k"].unique())
    figure, axes = style.grid(len(ks), COLUMNS, height=2.1)
    for ax, k in zip(axes, ks):
        of_k = table[table["k"] == k]
        _panel(ax, of_k, epochs)
        ax.axhline(style.constant_answer(table, METRIC, data.task)[0], **style.CONSTANT_LOOK)
        ax.set_title(f"K = {k}, {of_k['channels_left'].iloc[0]} channels left", loc="left")
    axes[0].set_xticks(range(len(epochs)), [epochs_text(each) for each in epochs])
    lowest = min(style.constant_answer(table, METRIC, data.task)[0], table[f"{METRIC}_mean"].min())
    axes[0].set_ylim(lowest - 0.04 * (1 - lowest), min(1, table[f"{METRIC}_mean"].max() + 0.04))
    figure.supxlabel("epochs of retraining", fontsize=8)
    figure.supylabel(f"{style.label(METRIC)}, test {data.inputs}", fontsize=8)
    style.legend(figure, _legend(retrained, table), style.heading(table, interval=""))
    return figure


def _panel(ax: Axes, table: pd.DataFrame, epochs: list[float]) -> None:
    """Draw the lines of one K. epochs: the budgets, equally spaced on the x axis."""
    for (criterion, start), rows in table.groupby(["criterion", "start"], sort=False):
        value = rows.set_index("epochs")[f"{METRIC}_mean"]
        if start in SCRATCH:
            ax.axhline(value.iloc[0], lw=1, zorder=1, **SCRATCH_LOOKS[start])
            continue
        look = style.criterion_look(criterion) | {"linestyle": DASHES[start], "markersize": 3}
        ax.plot(range(len(epochs)), value.loc[epochs], lw=1, **look)


def _legend(retrained: pd.DataFrame, table: pd.DataFrame) -> list[Line2D]:
    """Return the entries: criteria, starts, networks from scratch and a constant answer."""
    entries = [
        Line2D([], [], label=style.label(name), ms=3.5, **style.criterion_look(name) | {"linestyle": "-"})
        for name in retrained["criterion"].unique()
    ]
    entries += [
        Line2D([], [], color=style.BLACK, ls=DASHES[start], label=f"retrained {words}")
        for start, words in STARTS.items()
    ]
    entries += [Line2D([], [], label=SCRATCH[start], **look) for start, look in SCRATCH_LOOKS.items()]
    return [*entries, Line2D([], [], label="constant answer", **style.CONSTANT_LOOK)]
