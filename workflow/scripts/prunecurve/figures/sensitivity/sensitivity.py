"""How many channels each layer can lose: accuracy over the share of its channels removed.

A few layers are lines, the fewest with their intervals. The accuracies of more are the colours of a heat map, with one
row per layer in the order of the network.
"""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from prunecurve.figures import Data, style
from prunecurve.statistics.means import mean_curves
from prunecurve.statistics.sensitivity import sensitivity_table

METRICS = ("accuracy", "balanced_accuracy")
# More layers than this are a heat map, and the lines of more than this have no bands, which would cover each other.
MOST_LINES, MOST_BANDS = 8, 4
# Columns of the heat map, and panels in one of its rows.
STEPS, PANELS = 200, 2
COLOURMAP = "viridis"


def draw(data: Data) -> Figure:
    """A row of panels per criterion, or a heat map per criterion; means over networks."""
    table = mean_curves(data.table, data.task)
    table = table.assign(share_removed=table["k"] / (table["k"] + table["channels_left"]))
    few = table["layer"].nunique() <= MOST_LINES
    return _lines(table, data.task) if few else _heat_maps(table, sensitivity_table(data.table))


def _lines(table: pd.DataFrame, task: str) -> Figure:
    """Accuracy and balanced accuracy; each line is a mean over networks, its band the interval."""
    bands = table["layer"].nunique() <= MOST_BANDS
    looks = style.line_looks(table["layer"].unique())
    criteria = list(table["criterion"].unique())
    figure = Figure(figsize=(style.PAGE_WIDTH, 2.6 * len(criteria) + 0.4))
    grid = figure.subplots(len(criteria), len(METRICS), sharex=True, sharey=True, squeeze=False)
    for row, criterion in zip(grid, criteria):
        for ax, metric in zip(row, METRICS):
            for layer, look in looks.items():
                curve = table[(table["layer"] == layer) & (table["criterion"] == criterion)]
                channels = curve["channels_left"].max()
                # matplotlib leaves labels that begin with an underscore out of the legend.
                name = f"layer {layer}" if layer.startswith("_") else layer
                label = f"{name} ({channels} channels)"
                if bands:
                    style.line_with_band(ax, curve.set_index("share_removed"), metric, label=label, **look)
                else:
                    ax.plot(curve["share_removed"], curve[f"{metric}_mean"], label=label, **look)
            name = style.constant_name("accuracy", task)
            style.constant_answer(ax, style.constant_score(table, metric), label=name)
            ax.set(xlim=(0, 1), ylim=(-0.02, 1.02), ylabel=style.label(metric))
            ax.set_title(f"order of {style.label(criterion)}", loc="left")
    for ax in grid[-1]:
        ax.set_xlabel("share of the layer’s channels removed")
    style.legend(figure, grid[0][0], style.heading(table, interval="band" if bands else ""))
    return figure


def _heat_maps(table: pd.DataFrame, rows: pd.DataFrame) -> Figure:
    """Balanced accuracy, one panel per criterion; a mark at the share that a layer can lose within one point.

    rows: the result of `sensitivity_table`.
    """
    criteria, layers = list(table["criterion"].unique()), list(table["layer"].unique())
    figure, axes = style.grid(len(criteria), PANELS, height=0.6 + 0.14 * len(layers))
    top = float(table["balanced_accuracy_mean"].max())
    for ax, criterion in zip(axes, criteria):
        panel = table[table["criterion"] == criterion]
        shown = [_over_shares(panel[panel["layer"] == layer]) for layer in layers]
        edges = np.linspace(0, 1, STEPS + 1), np.arange(len(layers) + 1) - 0.5
        ax.pcolormesh(*edges, shown, cmap=COLOURMAP, vmin=0, vmax=top, rasterized=True)
        ax.set_ylim(len(layers) - 0.5, -0.5)
        marks = rows[rows["criterion"] == criterion].set_index("layer").loc[layers, "share_removed_mean"]
        ax.plot(marks, np.arange(len(layers)), "|", color="white", ms=5, mew=2, clip_on=False)
        ax.plot(marks, np.arange(len(layers)), "|", color=style.COLOURS[1], ms=5, mew=1, clip_on=False)
        ax.set_yticks(np.arange(len(layers)), _names(table, layers), fontsize=6)
        ax.tick_params(axis="y", length=0)
        ax.spines[:].set_visible(False)
        ax.set_title(f"order of {style.label(criterion)}", loc="left")
    figure.supxlabel("share of the layer’s channels removed", fontsize=8)
    title = (
        f"{style.heading(table, interval='')}\nmark: this and every smaller evaluated K are within one percentage "
        "point; not comparable between layers of different numbers of channels"
    )
    figure.legend(handles=_colours(top), loc="outside upper left", ncols=7, title=title, alignment="left")
    return figure


def _over_shares(curve: pd.DataFrame) -> np.ndarray:
    """Return the balanced accuracy (STEPS,) of one layer over shares from 0 to 1; NaN beyond its largest K."""
    shares, values = curve["share_removed"].to_numpy(), curve["balanced_accuracy_mean"].to_numpy()
    middles = (np.arange(STEPS) + 0.5) / STEPS
    # Each K reaches to the next one.
    places = np.searchsorted(shares, middles, side="right") - 1
    channels = float(curve["channels_left"].max())
    return np.where(middles > shares[-1] + 1 / channels, np.nan, values[places])


def _names(table: pd.DataFrame, layers: list[str]) -> list[str]:
    channels = table.groupby("layer")["channels_left"].max()
    return [f"{layer} ({channels[layer]})" for layer in layers]


def _colours(top: float) -> list[Patch | Line2D]:
    """The legend of the heat maps."""
    colours = matplotlib.colormaps[COLOURMAP]
    values = [share * top for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    patches = [Patch(color=colours(value / top), label=f"{value:.2f}") for value in values]
    patches[0].set_label(f"balanced accuracy {values[0]:.2f}")
    mark = {"ls": "none", "marker": "|", "ms": 6, "mew": 1.5, "color": style.COLOURS[1]}
    return [*patches, Line2D([], [], **mark, label="within one point up to here")]
