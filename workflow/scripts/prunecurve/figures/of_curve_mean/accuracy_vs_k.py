"""Accuracy over the number K of removed channels, a line a criterion, a panel a kind of removal.

More criteria than can be told apart in a panel are divided by what they decide by, each part between the two lines
that it is measured against: random and greedy removal.
"""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prunecurve.criteria import reads
from prunecurve.figures import Data, style
from prunecurve.naming import BASELINES, REVERSED
from prunecurve.statistics import by_criterion, over_seeds

# As many as have colours of their own.
TOGETHER = len(style.COLOURS)
GROUPS = {"activations": "by activations", "weights": "by weights", "labels": "by labels", "controls": "controls"}
DASHES = dict(zip(BASELINES, ((0, (1, 1.5)), "-")))


def draw(data: Data, metric: str = "accuracy") -> Figure:
    """The figure; each line is the mean over seeds of a metric, `accuracy` or `balanced_accuracy`."""
    table = by_criterion(data.table)
    removals = list(table["removal"].unique())
    if len(data.criteria) <= TOGETHER:
        return _together(table, data.criteria, removals, metric)
    return _in_groups(table, data.criteria, removals, metric)


def _together(table: pd.DataFrame, criteria: Sequence[str], removals: list[str], metric: str) -> Figure:
    figure, axes = style.panels(len(removals), columns=1, height=3.6)
    for ax, removal in zip(axes, removals):
        _lines(ax, table[table["removal"] == removal], criteria, metric)
        _controls(ax, table[table["removal"] == removal], metric)
        ax.set(ylabel=f"{style.label(metric)} on the test pairs")
        if len(removals) > 1:
            ax.set_title(f"removal: {style.label(removal)}", loc="left")
    axes[-1].set_xlabel("K, channels removed")
    style.legend(figure, axes[0], table)
    return figure


def _in_groups(table: pd.DataFrame, criteria: Sequence[str], removals: list[str], metric: str) -> Figure:
    groups = {name: [c for c in criteria if _group(c) == name] for name in GROUPS}
    shown = {name: members for name, members in groups.items() if members}
    figure = Figure(figsize=(style.PAGE_WIDTH, 2.35 * len(shown)))
    grid = figure.subplots(len(shown), len(removals), sharex=True, sharey=True, squeeze=False)
    for line, (name, members) in zip(grid, shown.items()):
        for ax, removal in zip(line, removals):
            rows = table[table["removal"] == removal]
            for baseline in [name for name in BASELINES if name in criteria and name not in members]:
                mean = over_seeds(rows[rows["criterion"] == baseline], metric)["mean"]
                ax.plot(mean.index, mean, color="#999999", linestyle=DASHES[baseline], lw=2, zorder=1, label=baseline)
            _lines(ax, rows, members, metric)
            _controls(ax, rows, metric, told=False)
        line[0].set_ylabel(f"{GROUPS[name]}\n{style.label(metric)}")
        line[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title=GROUPS[name], alignment="left")
    for ax, removal in zip(grid[0], removals):
        ax.set_title(f"removal: {style.label(removal)}", loc="left")
    figure.supxlabel("K, channels removed", fontsize=8)
    figure.suptitle(f"{style.told_seeds(table)}\ndashed: always “different”", x=0.01, ha="left", fontsize=7)
    return figure


def _group(criterion: str) -> str:
    """What a criterion decides by; a control by chance, or against what it is named after."""
    if criterion == "random" or criterion.startswith(REVERSED):
        return "controls"
    if "labels" in reads(criterion):
        return "labels"
    return "activations" if reads(criterion) else "weights"


def _lines(ax: Axes, rows: pd.DataFrame, criteria: Sequence[str], metric: str) -> None:
    looks = style.line_styles(tuple(criteria))
    for criterion in criteria:
        line = over_seeds(rows[rows["criterion"] == criterion], metric)
        look = looks[criterion]
        style.line_with_band(ax, line, style.label(criterion), look["color"], look["linestyle"])
    # A constant answer has a balanced accuracy of one half; there is little below.
    ax.set(xlim=(0, rows["k"].max()), ylim=(-0.02 if metric == "accuracy" else 0.38, 1.07))


def _controls(ax: Axes, rows: pd.DataFrame, metric: str, *, told: bool = True) -> None:
    """The unpruned network and the one that answers *different* to everything."""
    always = 0.5
    if metric == "accuracy":
        always = ((rows["tn"] + rows["fp"]) / (rows["tp"] + rows["fp"] + rows["tn"] + rows["fn"])).mean()
    unpruned = over_seeds(rows[rows["k"] == 0], metric)["mean"].loc[0]
    ax.plot(0, unpruned, "o", color="black", ms=5, mfc="white", mew=1.2, zorder=5, clip_on=False, label="_control")
    ax.axhline(always, color=style.GREY, lw=0.9, ls=(0, (6, 3)), zorder=0)
    if not told:
        return
    ax.annotate(
        f"K = 0, unpruned: {unpruned:.3f}",
        (0, unpruned),
        # Balanced accuracy often rises at first.
        (9, 5 if metric == "accuracy" else 22),
        textcoords="offset points",
        va="bottom",
        fontsize=7,
    )
    ax.annotate(
        f"always “different”: {always:.3f}",
        (0, always),
        (2, -3),
        textcoords="offset points",
        xycoords=("axes fraction", "data"),
        va="top",
        fontsize=7,
        color=style.GREY,
    )
