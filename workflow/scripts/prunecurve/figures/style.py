"""How all figures look: sizes for a page in print, and colours that colour-blind readers tell apart."""

from contextlib import AbstractContextManager
from itertools import product

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe & Ito 2008; yellow is left out, too pale for a line on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))
GREY = "#666666"
PAGE_WIDTH = 7.2  # inches, two columns of a journal's page

SETTINGS = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    # Each map as an image of its own in SVG: faster than one over all of them, and P tiles to edit.
    "image.composite_image": False,
    "svg.hashsalt": "prunecurve",
    "svg.fonttype": "none",
}


def applied() -> AbstractContextManager:
    """The settings, for as long as the context lasts."""
    return matplotlib.rc_context(SETTINGS)


def line_styles(names: tuple[str, ...]) -> dict[str, dict[str, object]]:
    """A colour and dash for each name, always the same for its place; no two alike among the first 28."""
    pairs = [{"color": colour, "linestyle": dash} for dash, colour in product(DASHES, COLOURS)]
    # A dash of its own as long as there are enough, so that lines stay apart without colour too.
    return {
        name: pairs[i % len(pairs)] | ({"linestyle": DASHES[i % len(DASHES)]} if len(names) <= len(COLOURS) else {})
        for i, name in enumerate(names)
    }


def label(name: str) -> str:
    """A config name as words."""
    return name.replace("_", " ")


def told_seeds(table: pd.DataFrame) -> str:
    """What lines and bands are, for a figure's heading: data set and layer, how many networks, how many random orders.

    table: rows of curves, each ranking's name in `order` (`statistics.by_criterion`).
    """
    seeds = table["seed"].nunique()
    what = f"mean of {seeds} networks (seeds), band: 95 % Student t interval, cut off at 0 and 1"
    told = f"{where(table)}: {'one network (seed)' if seeds == 1 else what}"
    draws = table.loc[table["criterion"] == "random", "order"].nunique()
    return f"{told}; random: mean of {draws} orders a network" if draws > 1 else told


def where(table: pd.DataFrame) -> str:
    """The data set and the pruned convolution (or all of them)."""
    layers = table["layer"].unique()
    return f"{table['dataset'].iloc[0]}, {layers[0] if len(layers) == 1 else 'all convolutions'}"


def panels(count: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """A page-wide figure of `count` panels of a height in inches, axes shared, in rows of at most `columns`."""
    columns = min(count, columns)
    rows = -(-count // columns)
    figure = Figure(figsize=(PAGE_WIDTH, rows * height))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for unused in grid.flat[count:]:
        unused.set_visible(False)
    return figure, list(grid.flat[:count])


def line_with_band(ax: Axes, line: pd.DataFrame, label: str, colour: object, dash: object) -> None:
    """A mean over seeds and its interval: the columns mean, low, high of `statistics.over_seeds`, by K."""
    ax.plot(line.index, line["mean"], label=label, color=colour, linestyle=dash)
    # Bands of few networks are wide and overlap: thin edges tell whose they are where the colours mix.
    ax.fill_between(line.index, line["low"], line["high"], color=colour, alpha=0.09, lw=0)
    for edge in ("low", "high"):
        ax.plot(line.index, line[edge], color=colour, alpha=0.5, lw=0.4, label=f"_{edge}")


def legend(figure: Figure, ax: Axes, table: pd.DataFrame) -> None:
    """The legend of a panel's lines above all panels, headed by the data set and what lines and bands are."""
    figure.legend(
        *ax.get_legend_handles_labels(),
        loc="outside upper left",
        ncols=4,
        title=told_seeds(table),
        alignment="left",
        title_fontsize=7,
    )
