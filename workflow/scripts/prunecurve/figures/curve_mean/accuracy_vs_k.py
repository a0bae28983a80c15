"""Accuracy over the number K of removed channels: a large panel per removal with one line per criterion.

Bands of more than a few criteria cover each other. Then the large panels have the mean lines alone, and each criterion
has a small panel with its band between the lines of random and greedy removal.
"""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from prunecurve.data import tasks
from prunecurve.figures import Data, style
from prunecurve.naming import BASELINES
from prunecurve.statistics.means import normalised_area

# As many bands as can be distinguished in one panel.
TOGETHER = 4
# If there are more small panels than fit on a page, only those of the first removal are drawn.
MOST = 24
# Markers on a line, so that lines can be distinguished without colour.
MARKERS_PER_LINE = 8


def draw(data: Data, metric: str = "accuracy") -> Figure:
    """Return the figure; metric: `accuracy` or `balanced_accuracy`."""
    removals = list(data.table["removal"].unique())
    curves = {removal: _curves(data.table, removal, metric) for removal in removals}
    count = len(curves[removals[0]])
    bands = count <= TOGETHER
    in_detail = [] if bands else removals if count * len(removals) <= MOST else removals[:1]
    columns = min(5, math.ceil(count / 2))
    heights = [max(2.7, 0.11 * count + 0.7)] * len(removals)
    heights += [(1.5 if columns < 4 else 1.25) * math.ceil(count / columns) + 0.35] * len(in_detail)
    figure = Figure(figsize=(style.PAGE_WIDTH, sum(heights) + 0.3))
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, removal in zip(parts, removals):
        _large(part, curves[removal], metric, bands, data.task)
        _title(part, f"removal: {style.label(removal)}")
    for part, removal in zip(parts[len(removals) :], in_detail):
        _small(part, curves[removal], metric, columns)
        references = [f"{n} ({c})" for n, c in zip(BASELINES, ("grey", "black")) if n in curves[removal]]
        thin = f"; thin lines: {', '.join(references)}" if references else ""
        _title(part, f"removal: {style.label(removal)}, each criterion alone{thin}")
    style.head(figure, style.heading(data.table))
    return figure


def _title(part: SubFigure, text: str) -> None:
    part.suptitle(text, x=0.01, ha="left", fontsize=8, weight="bold")


def _curves(table: pd.DataFrame, removal: str, metric: str) -> dict[str, pd.DataFrame]:
    """Return the rows of each criterion by K, ordered as the lines lie: sorted by the metric's mean over K."""
    rows = table[table["removal"] == removal].set_index("k").sort_index(kind="stable")
    curves = dict(list(rows.groupby("criterion", sort=False)))
    area = {name: normalised_area(c.index.to_numpy(), c[f"{metric}_mean"].to_numpy()) for name, c in curves.items()}
    return {name: curves[name] for name in sorted(curves, key=area.__getitem__, reverse=True)}


def _large(part: SubFigure, curves: dict[str, pd.DataFrame], metric: str, bands: bool, task: str) -> None:
    """Draw the lines of all criteria in one panel, with the unpruned network and a constant answer."""
    ax, first = part.subplots(), next(iter(curves.values()))
    last = int(first.index[-1])
    step = max(1, last // MARKERS_PER_LINE)
    for place, (name, curve) in enumerate(curves.items()):
        # The markers of lines that lie on each other are apart.
        look = {"label": style.label(name), "markersize": 3.5, "markevery": (place * step // len(curves), step)}
        look |= style.criterion_look(name)
        if bands:
            style.line_with_band(ax, curve, metric, **look)
        else:
            ax.plot(curve.index, curve[f"{metric}_mean"], **look)
    always, unpruned = style.constant_score(first, metric), first[f"{metric}_mean"].iloc[0]
    ax.axhline(always, **style.CONSTANT_LOOK, label=f"{style.constant_name(metric, task)}: {always:.3f}")
    look = {"ls": "none", "marker": "o", "ms": 6, "mew": 1.2, "color": style.BLACK, "mfc": "none"}
    ax.plot(0, unpruned, **look, zorder=5, clip_on=False, label=f"unpruned (K = 0): {unpruned:.3f}")
    _limits(ax, curves, metric, ("mean", "low") if bands else ("mean",))
    style.k_axis(ax, last)
    ax.set_ylabel(f"{style.label(metric)} on the test {tasks.load(task).INPUTS}")
    ax.legend(
        loc="upper left",
        bbox_to_anchor=(1.01, 1.03),
        borderaxespad=0,
        fontsize=6.5,
        labelspacing=0.25,
        handlelength=3,
        title="sorted by mean over K" if len(curves) > 1 else None,
        alignment="left",
    )


def _small(part: SubFigure, curves: dict[str, pd.DataFrame], metric: str, columns: int) -> None:
    """Draw each criterion in a panel of its own, with its band and the lines of the baselines."""
    for ax, (name, curve) in zip(style.panels(part, len(curves), columns), curves.items()):
        for baseline in (each for each in BASELINES if each in curves and each != name):
            look, reference = style.criterion_look(baseline), curves[baseline][f"{metric}_mean"]
            ax.plot(reference.index, reference, color=look["color"], ls=look["linestyle"], lw=0.6, zorder=1)
        look = style.criterion_look(name)
        style.line_with_band(ax, curve, metric, color=look["color"], linestyle=look["linestyle"])
        ax.axhline(style.constant_score(curve, metric), **style.CONSTANT_LOOK)
        ax.set_title(style.label(name), loc="left", fontsize=style.SMALL if columns < 5 else 6)
        _limits(ax, curves, metric, ("mean", "low"))
        style.k_axis(ax, int(curve.index[-1]), ticks=4, named=False)
    part.supxlabel("K, channels removed", fontsize=8)
    part.supylabel(style.label(metric), fontsize=8)


def _limits(ax: Axes, curves: dict[str, pd.DataFrame], metric: str, shown: tuple[str, ...]) -> None:
    """Let the y axis reach from the lowest value that is shown, the constant answer's included, to 1."""
    table = pd.concat(curves.values())
    lowest = min(style.constant_score(table, metric), table[[f"{metric}_{part}" for part in shown]].min(axis=None))
    margin = 0.04 * (1 - lowest)
    ax.set_ylim(lowest - margin, 1 + margin)
