"""How many channels can be removed from each layer: accuracy over the share of its channels removed.

A few layers are lines, the fewest with their intervals. The accuracies of more are the colours of a heat map, with one
row per layer in the order of the network.
"""

import itertools

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from prunecurve.figures import Data, style
from prunecurve.statistics.means import mean_curves
from prunecurve.statistics.sensitivity import sensitivity_table
from prunecurve.statistics.text import SHORT_REPAIRS

METRICS = ("accuracy", "balanced_accuracy")
# More layers than this are a heat map, and the lines of more than this have no bands, which would cover each other.
MOST_LINES, MOST_BANDS = 8, 4
# Panels in a row of heat maps.
PANELS = 2


def draw(data: Data) -> Figure:
    """Return a row of panels, or a heat map, per criterion and repair; means over networks."""
    table = mean_curves(data.table, data.task)
    table = table.assign(share_removed=table["k"] / (table["k"] + table["channels_left"]))
    few = table["layer"].nunique() <= MOST_LINES
    return _lines(table, data.task) if few else _heat_maps(table, sensitivity_table(data.table))


def _lines(table: pd.DataFrame, task: str) -> Figure:
    """Return accuracy and balanced accuracy; each line is a mean over networks, its band the interval."""
    bands = table["layer"].nunique() <= MOST_BANDS
    panels = list(table.groupby(["criterion", "repair"], sort=False))
    figure = Figure(figsize=(style.PAGE_WIDTH, 2.6 * len(panels) + 0.4))
    grid = figure.subplots(len(panels), len(METRICS), sharex=True, sharey=True, squeeze=False)
    for ax, ((names, rows), metric) in zip(grid.flat, itertools.product(panels, METRICS)):
        for layer, look in style.line_looks(table["layer"].unique()).items():
            curve = rows[rows["layer"] == layer].set_index("share_removed")
            # matplotlib leaves labels that begin with an underscore out of the legend.
            name = f"layer {layer}" if layer.startswith("_") else layer
            look |= {"label": f"{name} ({curve['channels_left'].max()} channels)"}
            style.line(ax, curve, metric, bands, **look)
        constant, name = style.constant_answer(table, metric, task)
        ax.axhline(constant, **style.CONSTANT_LOOK, label=name)
        ax.set(xlim=(0, 1), ylim=(-0.02, 1.02), ylabel=style.label(metric))
        ax.set_title(_title(*names), loc="left")
    for ax in grid[-1]:
        ax.set_xlabel("share of the layer’s channels removed")
    style.legend(figure, grid[0][0], style.heading(table, interval="band" if bands else ""))
    return figure


def _title(criterion: str, repair: str) -> str:
    """Return the title of a panel."""
    return f"order of {style.label(criterion)}, {SHORT_REPAIRS[repair]}"


def _heat_maps(table: pd.DataFrame, largest: pd.DataFrame) -> Figure:
    """Return balanced accuracy, one panel per criterion; a mark at the share of a layer's largest K within one point.

    largest: the result of `sensitivity_table`.
    """
    panels, layers = list(table.groupby(["criterion", "repair"], sort=False)), list(table["layer"].unique())
    channels = table.groupby("layer")["channels_left"].max()[layers]
    names = [f"{layer} ({count})" for layer, count in channels.items()]
    figure, axes = style.grid(len(panels), PANELS, height=0.6 + 0.14 * len(layers))
    highest = float(table["balanced_accuracy_mean"].max())
    marks_of = dict(list(largest.groupby(["criterion", "repair"])))
    for ax, (kind, panel) in zip(axes, panels):
        values = panel.pivot(index="layer", columns="share_removed", values="balanced_accuracy_mean").loc[layers]
        # Each K reaches to the next one, the largest as far as one more channel; beyond it, nothing is known.
        end = panel.groupby("layer")["k"].max()[layers].add(1) / channels
        shares = values.columns.union(end[end < 1].unique())
        known = end.to_numpy()[:, None] > shares.to_numpy()
        values = values.reindex(columns=shares).ffill(axis=1).where(known)
        colours = style.heat_map(ax, np.append(shares, 1), values.to_numpy(), names, highest)
        ax.tick_params(axis="y", labelsize=6)
        marks = marks_of[kind].set_index("layer").loc[layers, "share_removed_mean"]
        look = {"ls": "none", "marker": "|", "ms": 5, "clip_on": False}
        ax.plot(marks, range(len(layers)), **look, color="white", mew=2)
        ax.plot(marks, range(len(layers)), **look, color=style.COLOURS[1], mew=1, label="within one point up to here")
        ax.set_title(_title(*kind), loc="left")
    figure.supxlabel("share of the layer’s channels removed", fontsize=8)
    style.colour_bar(figure, axes, colours, "balanced accuracy")
    title = (
        f"{style.heading(table, interval='')}\nmark: this and every smaller evaluated K are within one percentage "
        "point;\nnot comparable between layers of different numbers of channels"
    )
    style.legend(figure, axes[0], title)
    return figure
