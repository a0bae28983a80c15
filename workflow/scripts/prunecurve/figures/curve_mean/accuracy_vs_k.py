"""Accuracy over the number K of removed channels: a large panel per removal with one line per criterion.

Bands of more than a few criteria cover each other. Then the large panels have the mean lines alone, and each criterion
has a small panel with its band between the lines of random and greedy removal.
"""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from prunecurve.figures import Data, style
from prunecurve.naming import BASELINES
from prunecurve.statistics.means import normalised_area

# As many bands as can be distinguished in one panel.
TOGETHER = 4
# Markers on a line, so that lines can be distinguished without colour.
MARKERS_PER_LINE = 8


def draw(data: Data, metric: str = "accuracy") -> Figure:
    """Return the figure; metric: `accuracy` or `balanced_accuracy`."""
    curves = {removal: _curves(rows, metric) for removal, rows in data.table.groupby("removal", sort=False)}
    removals, count = list(curves), len(next(iter(curves.values())))
    bands = count <= TOGETHER
    in_detail = [] if bands else removals if count * len(removals) <= style.MOST_PANELS else removals[:1]
    columns = min(5, math.ceil(count / 2))
    heights = [max(2.7, 0.11 * count + 0.7)] * len(removals)
    heights += [(1.5 if columns < 4 else 1.25) * math.ceil(count / columns) + 0.35] * len(in_detail)
    figure = Figure(figsize=(style.PAGE_WIDTH, sum(heights) + 0.3))
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    titles = [f"removal: {style.label(removal)}" for removal in removals]
    for part, removal in zip(parts, removals):
        _large(part.subplots(), curves[removal], metric, bands, data)
    for part, removal in zip(parts[len(removals) :], in_detail):
        _small(part, curves[removal], metric, columns)
        thin = [f"{n} ({c})" for n, c in zip(BASELINES, ("grey", "black")) if n in curves[removal]]
        lines = f"; thin lines: {', '.join(thin)}" if thin else ""
        titles.append(f"removal: {style.label(removal)}, each criterion alone{lines}")
    for part, title in zip(parts, titles):
        part.suptitle(title, x=0.01, ha="left", fontsize=8, weight="bold")
    style.head(figure, style.heading(data.table))
    return figure


def _curves(table: pd.DataFrame, metric: str) -> dict[str, pd.DataFrame]:
    """Return the rows of each criterion by K, ordered as the lines lie: sorted by the metric's mean over K."""
    curves = dict(list(table.set_index("k").sort_index(kind="stable").groupby("criterion", sort=False)))
    area = {name: normalised_area(c.index.to_numpy(), c[f"{metric}_mean"].to_numpy()) for name, c in curves.items()}
    return {name: curves[name] for name in sorted(curves, key=area.__getitem__, reverse=True)}


def _large(ax: Axes, curves: dict[str, pd.DataFrame], metric: str, bands: bool, data: Data) -> None:
    """Draw the lines of all criteria, with the unpruned network and a constant answer."""
    first = next(iter(curves.values()))
    last = int(first.index[-1])
    step = max(1, last // MARKERS_PER_LINE)
    for place, (name, curve) in enumerate(curves.items()):
        # The markers of lines that lie on each other are apart.
        look = {"label": style.label(name), "markersize": 3.5, "markevery": (place * step // len(curves), step)}
        style.line(ax, curve, metric, bands, **look, **style.criterion_look(name))
    (constant, answer), unpruned = style.constant_answer(first, metric, data.task), first[f"{metric}_mean"].iloc[0]
    ax.axhline(constant, **style.CONSTANT_LOOK, label=f"{answer}: {constant:.3f}")
    look = {"ls": "none", "marker": "o", "ms": 6, "mew": 1.2, "color": style.BLACK, "mfc": "none"}
    ax.plot(0, unpruned, **look, zorder=5, clip_on=False, label=f"unpruned (K = 0): {unpruned:.3f}")
    _axes(ax, curves, metric, bands)
    ax.set(xlabel="K, channels removed", ylabel=f"{style.label(metric)} on the test {data.inputs}")
    title = {"title": "sorted by mean over K" if len(curves) > 1 else None, "alignment": "left", "fontsize": 6.5}
    place = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.03), "borderaxespad": 0}
    ax.legend(**title, **place, labelspacing=0.25, handlelength=3)


def _small(part: SubFigure, curves: dict[str, pd.DataFrame], metric: str, columns: int) -> None:
    """Draw each criterion in a panel of its own, with its band and the lines of the baselines."""
    for ax, (name, curve) in zip(style.panels(part, len(curves), columns), curves.items()):
        for baseline in (each for each in BASELINES if each in curves and each != name):
            look = style.criterion_look(baseline) | {"marker": "", "lw": 0.6, "zorder": 1}
            style.line(ax, curves[baseline], metric, False, **look)
        style.line(ax, curve, metric, **style.criterion_look(name) | {"marker": ""})
        ax.axhline(style.constant_answer(curve, metric, "pairs")[0], **style.CONSTANT_LOOK)
        ax.set_title(style.label(name), loc="left", fontsize=style.SMALL if columns < 5 else 6)
        _axes(ax, curves, metric, True, ticks=4)
    part.supxlabel("K, channels removed", fontsize=8)
    part.supylabel(style.label(metric), fontsize=8)


def _axes(ax: Axes, curves: dict[str, pd.DataFrame], metric: str, bands: bool, ticks: int = 8) -> None:
    """Let the y axis reach from the lowest value that is shown, the constant answer's included, to 1."""
    table = pd.concat(curves.values())
    shown = [f"{metric}_mean", f"{metric}_low"] if bands else [f"{metric}_mean"]
    lowest = min(style.constant_answer(table, metric, "pairs")[0], table[shown].min(axis=None))
    ax.set_ylim(lowest - 0.04 * (1 - lowest), 1 + 0.04 * (1 - lowest))
    style.k_axis(ax, int(table.index.max()), ticks)
