"""Balanced accuracy over the epochs of retraining: a panel per K, a line per criterion and start."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from prunecurve.figures import Data, style
from prunecurve.statistics.recovery import METRIC, SCRATCH, STARTS, UNPRUNED, epochs_text, recovery_table

# The repaired start is solid, as in the figures of all repairs.
DASHES = {"none": style.REPAIR_DASHES["bias"][1], "refit_bias": style.REPAIR_DASHES["refit_bias"][1]}
# A colour that no criterion has.
BROWN = "#8B4A1E"
SCRATCH_LOOKS: dict[str, dict[str, Any]] = {
    "scratch": {"color": BROWN, "ls": style.DASHES[1]},
    "scratch_same_compute": {"color": BROWN, "ls": style.DASHES[3]},
}
UNPRUNED_LOOK: dict[str, Any] = {"color": style.BLACK, "ls": style.DASHES[2], "lw": 1, "zorder": 1}
COLUMNS = 3


def draw(data: Data) -> Figure:
    """Return the figure."""
    table = recovery_table(data.table, data.task)
    retrained = table[table["start"].isin(list(STARTS)) & (table["criterion"] != UNPRUNED)]
    epochs, ks = sorted(retrained["epochs"].unique()), sorted(retrained["k"].unique())
    unpruned = table[table["criterion"] == UNPRUNED].set_index("epochs")[f"{METRIC}_mean"]
    figure, axes = style.grid(len(ks), COLUMNS, height=2.6 if len(ks) <= COLUMNS else 2.2)
    constant, _ = style.constant_answer(table, METRIC, data.task)
    for ax, k in zip(axes, ks):
        of_k = table[table["k"] == k]
        _panel(ax, of_k, epochs)
        ax.plot(range(len(epochs)), unpruned.loc[epochs], **UNPRUNED_LOOK)
        ax.axhline(constant, **style.CONSTANT_LOOK)
        left = of_k["channels_left"].iloc[0]
        ax.set_title(f"K = {k}, {left} channel{'' if left == 1 else 's'} left", loc="left")
    axes[0].set_xticks(range(len(epochs)), [epochs_text(each) for each in epochs])
    values = table[f"{METRIC}_mean"]
    lowest, highest = min(constant, values.min()), values.max()
    axes[0].set_ylim(lowest - 0.04 * (1 - lowest), highest + 0.04 * (1 - lowest))
    for ax in axes[::COLUMNS]:
        ax.set_ylabel(f"{style.label(METRIC)},\ntest {data.inputs}")
    figure.supxlabel("epochs of retraining (equally spaced)", fontsize=8)
    style.legend(figure, _legend(retrained), f"{style.heading(table, interval='')}; intervals: recovery_table.csv")
    return figure


def _panel(ax: Axes, table: pd.DataFrame, epochs: list[float]) -> None:
    """Draw the lines of one K. epochs: the budgets, equally spaced on the x axis."""
    criteria = [name for name in table["criterion"].unique() if name not in SCRATCH]
    for (criterion, start), rows in table.groupby(["criterion", "start"], sort=False):
        values = rows.set_index("epochs")[f"{METRIC}_mean"]
        if start in SCRATCH:
            ax.axhline(values.iloc[0], lw=1, zorder=1, **SCRATCH_LOOKS[start])
            continue
        # The markers of equal values lie side by side.
        shift = 0.06 * (criteria.index(criterion) - (len(criteria) - 1) / 2)
        look = style.criterion_look(criterion) | {"linestyle": DASHES[start], "markersize": 3.5, "markeredgewidth": 0.8}
        look |= {"markerfacecolor": "white"} if start == "none" else {}
        ax.plot([place + shift for place in range(len(epochs))], values.loc[epochs], lw=0.9, **look)


def _legend(retrained: pd.DataFrame) -> list[Line2D]:
    """Return the entries: criteria, starts, networks from scratch and a constant answer."""
    criteria = {name: style.criterion_look(name) | {"linestyle": "-"} for name in retrained["criterion"].unique()}
    entries = [Line2D([], [], label=style.label(name), markersize=3.5, **look) for name, look in criteria.items()]
    faces = {"none": "white", "refit_bias": style.BLACK}
    look = {"color": style.BLACK, "marker": "o", "markersize": 3.5, "markeredgewidth": 0.8, "lw": 0.9}
    entries += [
        Line2D([], [], ls=DASHES[s], mfc=faces[s], label=f"start: {words}", **look) for s, words in STARTS.items()
    ]
    entries += [Line2D([], [], label=SCRATCH[start], lw=1, **look) for start, look in SCRATCH_LOOKS.items()]
    entries.append(Line2D([], [], label="unpruned, retrained", **UNPRUNED_LOOK))
    return [*entries, Line2D([], [], label="constant answer", **style.CONSTANT_LOOK)]
