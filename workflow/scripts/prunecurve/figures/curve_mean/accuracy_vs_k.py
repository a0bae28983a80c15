"""Accuracy over the number K of removed channels: a large panel per removal and repair, one line per criterion.

Bands of more than a few criteria cover each other. Then the large panels have the mean lines alone, and each criterion
has a small panel with its band between the lines of random and greedy removal, or with a line per repair.
"""

import math
import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from prunecurve.figures import Data, style
from prunecurve.naming import BASELINES
from prunecurve.statistics.means import VARIANT, normalised_area
from prunecurve.statistics.text import REPAIRS, unpruned_text

# As many bands as can be distinguished in one panel.
TOGETHER = 4
# Markers on a line, so that lines can be distinguished without colour.
MARKERS_PER_LINE = 8


def draw(data: Data, metric: str = "accuracy") -> Figure:
    """Return the figure; metric: `accuracy` or `balanced_accuracy`."""
    curves = {variant: _curves(rows, metric) for variant, rows in data.table.groupby(VARIANT, sort=False)}
    variants, count = style.variants(data.table), len(next(iter(curves.values())))
    bands, removals = count <= TOGETHER, list(dict.fromkeys(removal for removal, _ in variants))
    in_detail = [] if bands else removals[: None if count * len(removals) <= style.MOST_PANELS else 1]
    columns = min(5, math.ceil(count / 2))
    heights = [max(2.7, 0.11 * count + 0.7)] * len(variants)
    heights += [(1.5 if columns < 4 else 1.25) * math.ceil(count / columns) + 0.35] * len(in_detail)
    figure = Figure(figsize=(style.PAGE_WIDTH, sum(heights) + 0.3))
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    # One y axis for all repairs of a removal, so that their panels can be compared.
    rows = dict(list(data.table.groupby("removal")))
    titles = [f"removal: {words}" for words in variants.values()]
    for part, variant in zip(parts, variants):
        ax = part.subplots()
        _large(ax, curves[variant], metric, bands, data)
        _axes(ax, rows[variant[0]], metric, bands)
    for part, removal in zip(parts[len(variants) :], in_detail):
        repairs = {repair: curves[name, repair] for name, repair in variants if name == removal}
        for ax in _small(part, repairs, metric, columns):
            _axes(ax, rows[removal], metric, True, ticks=4)
        words = style.label(removal) if len(repairs) > 1 else variants[removal, next(iter(repairs))]
        titles.append(f"removal: {words}, each criterion alone{_lines(repairs)}")
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
    name = unpruned_text(first["repair"].iloc[0])
    look = {"ls": "none", "marker": "o", "ms": 6, "mew": 1.2, "color": style.BLACK, "mfc": "none"}
    ax.plot(0, unpruned, **look, zorder=5, clip_on=False, label=textwrap.fill(f"{name} (K = 0): {unpruned:.3f}", 24))
    ax.set(xlabel="K, channels removed", ylabel=f"{style.label(metric)} on the test {data.inputs}")
    title = {"title": "sorted by mean over K" if len(curves) > 1 else None, "alignment": "left", "fontsize": 6.5}
    place = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.03), "borderaxespad": 0}
    ax.legend(**title, **place, labelspacing=0.25, handlelength=3)


def _lines(repairs: dict[str, dict[str, pd.DataFrame]]) -> str:
    """Return what the lines of `_small` are besides those of its criteria."""
    if len(repairs) > 1:
        return ";\n" + "; ".join(f"{style.REPAIR_DASHES[repair][0]}: {REPAIRS[repair]}" for repair in repairs)
    (curves,) = repairs.values()
    thin = [f"{n} ({c})" for n, c in zip(BASELINES, ("grey", "black")) if n in curves]
    return f"; thin lines: {', '.join(thin)}" if thin else ""


def _small(part: SubFigure, repairs: dict[str, dict[str, pd.DataFrame]], metric: str, columns: int) -> list[Axes]:
    """Draw each criterion in a panel of its own, with its bands; return the panels.

    repairs: the curves of `_curves` by repair. With one repair, the lines of the baselines are drawn too.
    """
    curves = next(iter(repairs.values()))
    axes = style.panels(part, len(curves), columns)
    for ax, (name, curve) in zip(axes, curves.items()):
        for baseline in (each for each in BASELINES if each in curves and each != name and len(repairs) == 1):
            look = style.criterion_look(baseline) | {"marker": "", "lw": 0.6, "zorder": 1}
            style.line(ax, curves[baseline], metric, False, **look)
        for repair, repaired in repairs.items():
            look = style.criterion_look(name) | {"marker": ""}
            look |= {"linestyle": style.REPAIR_DASHES[repair][1]} if len(repairs) > 1 else {}
            style.line(ax, repaired[name], metric, **look)
        ax.axhline(style.constant_answer(curve, metric, "pairs")[0], **style.CONSTANT_LOOK)
        ax.set_title(style.label(name), loc="left", fontsize=style.SMALL if columns < 5 else 6)
    part.supxlabel("K, channels removed", fontsize=8)
    part.supylabel(style.label(metric), fontsize=8)
    return axes


def _axes(ax: Axes, table: pd.DataFrame, metric: str, bands: bool, ticks: int = 8) -> None:
    """Let the y axis reach from the lowest value that is shown, the constant answer's included, to 1."""
    shown = [f"{metric}_mean", f"{metric}_low"] if bands else [f"{metric}_mean"]
    lowest = min(style.constant_answer(table, metric, "pairs")[0], table[shown].min(axis=None))
    ax.set_ylim(lowest - 0.04 * (1 - lowest), 1 + 0.04 * (1 - lowest))
    style.k_axis(ax, int(table["k"].max()), ticks)
