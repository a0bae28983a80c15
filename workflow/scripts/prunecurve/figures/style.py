"""How all figures look: sizes for a printed page, axes, headings, and one look per criterion in every figure.

Nothing of the caller's environment enters a figure: neither the backend of a notebook (MPLBACKEND), nor a matplotlibrc
or a font cache of the user, nor the fonts of the system.
"""

import functools
import math
import os
import textwrap
import zlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, chdir
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# Before the import, which reads them: a notebook names a backend here that the jobs' environment may not have, and a
# matplotlibrc that is damaged would stop the import. One in the working folder comes first, so the import is elsewhere.
os.environ["MPLBACKEND"] = "agg"
if (package := find_spec("matplotlib")) and package.origin:
    os.environ["MATPLOTLIBRC"] = str(Path(package.origin).with_name("mpl-data"))
with chdir(Path(__file__).parent):
    import matplotlib

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.lines import Line2D

from prunecurve.data import tasks
from prunecurve.naming import REVERSED
from prunecurve.statistics.means import VARIANT
from prunecurve.statistics.text import label, networks_text, variant_text

# Okabe & Ito 2008, for colour-blind readers, without yellow, which is too pale for a line on white; the last two are
# Paul Tol's, darker than the others.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#882255", "#332288")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))
LONG = (0, (7, 1.5, 1.5, 1.5))
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<")
# Of the kinds of removal and repair.
SHAPES = "osD^vPX<"
# Of the lines of one criterion with different repairs, and what a title calls them.
REPAIR_DASHES = {
    "none": ("dotted", DASHES[2]),
    "bias": ("dashed", DASHES[1]),
    "refit": ("dash-dotted", DASHES[3]),
    "refit_bias": ("solid", DASHES[0]),
}
BLACK, GREY = "#000000", "#777777"
PAGE_WIDTH = 7.2  # inches, two columns of a journal's page
SMALL = 7  # points, for headings and notes
# If there are more small panels than fit on a page, only those of the first removal and repair are drawn.
MOST_PANELS = 24
# The definition of a dead channel, wherever one is marked.
DEAD = "zero after ReLU at every position for every test input"

# Each look follows from a criterion's place in this list: criteria that are often drawn together differ in colour.
CRITERIA = (
    *("mean_activation", "l1_norm", "taylor_activation", "apoz", "hrank", "bn_scale", "conv_abs_mean", "shapley"),
    *("chip", "loss_oracle", "activation_std", "l2_norm", "entropy", "taylor_gate", "fpgm", "greedy_backward_forward"),
    *("whc", "taylor_centred", "thinet", "obs"),
)
WARNING = "#B00020"
# The baselines have no colour, so that they are the same lines where they are drawn for reference.
BASELINE_LOOKS: dict[str, dict[str, object]] = {
    "greedy": {"color": BLACK, "linestyle": "-", "marker": "*"},
    "random": {"color": GREY, "linestyle": (0, (2, 1)), "marker": "x"},
}
# Of the line at the score of a constant answer, or at the share of a class.
CONSTANT_LOOK = {"color": "#AAAAAA", "lw": 0.8, "ls": (0, (8, 4)), "zorder": 0}
# Of heat maps: sequential and monotone in lightness, so it survives grey print and colour blindness.
COLOURMAP = "viridis"

SETTINGS = {
    # All of matplotlib's own values first: without them, a user's matplotlibrc would decide what is not set here. The
    # backend is not among them, because setting it would choose one.
    **{name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"},
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": SMALL,
    "legend.title_fontsize": SMALL,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
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
    # Names of classes may have dollar signs. No text of the figures is a formula.
    "text.parse_math": False,
}


def applied() -> AbstractContextManager:
    """Return the context in which the settings hold."""
    return matplotlib.rc_context(SETTINGS)


# matplotlib finds only the fonts that it brings along: a font of the system would change the size of every text.
fontManager.ttflist.clear()
for _font in sorted(Path(matplotlib.get_data_path(), "fonts", "ttf").glob("*.ttf")):
    fontManager.addfont(_font)


@functools.cache
def _drawable() -> frozenset[int]:
    """Return the code points of all characters that the font of the figures has."""
    return frozenset(get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap())


def with_drawable_names(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with `class 3` for each name that has a character which the font does not have, such as Chinese.

    Instead of each such character, matplotlib would draw a box. Names and numbers of classes are in the columns `name`
    and `class`, and `answer` and `most_frequent_answer`, if the table has them.
    """
    for names, numbers in {"name": "class", "answer": "most_frequent_answer"}.items():
        if {names, numbers} <= set(table):
            odd = [name for name in table[names].unique() if not _drawable().issuperset(map(ord, name))]
            drawn = table[names].mask(table[names].isin(odd), "class " + table[numbers].map(str))
            table = table.assign(**{names: drawn})
    return table


def criterion_look(name: str) -> dict[str, Any]:
    """Return colour, dash and marker of a criterion: the same in every figure and study, whichever criteria it has.

    A reversed criterion has the colour and, open, the marker of the criterion, and a dotted line. A criterion that is
    not in the list, such as a user's own, takes colour and marker from its name, and a dash that no criterion of the
    list has.
    """
    if name.startswith(REVERSED):
        look = criterion_look(name.removeprefix(REVERSED))
        dots = DASHES[2] if look["linestyle"] == "-" else (0, (1, 4)) if look["linestyle"] == LONG else (0, (1, 2.5))
        return look | {"linestyle": dots, "markerfacecolor": "white"}
    if name in BASELINE_LOOKS:
        return BASELINE_LOOKS[name]
    place, dash = zlib.crc32(name.encode()), DASHES[3]
    marker = place // len(COLOURS)
    if name in CRITERIA:
        # Criteria of one colour differ in dash; no two have the same dash and marker.
        again, place = divmod(CRITERIA.index(name), len(COLOURS))
        dash, marker = LONG if again > 1 else DASHES[(place + again) % 2], place + 2 * again
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": dash, "marker": MARKERS[marker % len(MARKERS)]}


def line_looks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return a colour and dash per name by its place, for lines that are not criteria: layers, networks. 32 differ."""
    n = len(COLOURS)
    return {
        name: {"color": COLOURS[i % n], "linestyle": DASHES[(i + i // n) % len(DASHES)]} for i, name in enumerate(names)
    }


def variants(table: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Return what a panel or legend calls each removal and repair of a table, by both, in the table's order."""
    pairs = table[VARIANT].drop_duplicates().itertuples(index=False, name=None)
    return {pair: variant_text(*pair) for pair in pairs}


def where(table: pd.DataFrame) -> str:
    """Return the data set and the pruned layer, or the number of layers."""
    layers = table["layer"].unique()
    return f"{table['dataset'].iloc[0]}, {layers[0] if len(layers) == 1 else f'{len(layers)} layers'}"


def heading(table: pd.DataFrame, interval: str = "band") -> str:
    """Return the line over a figure: data set, layer, number of networks, what the band or bar is, draws of random.

    table: rows over networks, with `seeds` and `draws` (curve_mean.csv, summary.csv). interval: empty if none is drawn.
    """
    seeds, draws = int(table["seeds"].max()), int(table["draws"].max())
    mean, band = ("mean of ", f", {interval}: 95 % Student t interval" if interval else "") if seeds > 1 else ("", "")
    orders = f"; random: mean of {draws} orders per network" if draws > 1 else ""
    return f"{where(table)}: {mean}{networks_text(seeds)}{band}{orders}"


def k_axis(ax: Axes, last: int, ticks: int = 8) -> None:
    """Give a panel an x axis of K from 0 to the last."""
    ax.set_xlim(0, max(last, 1))
    ax.locator_params(axis="x", nbins=ticks, integer=True)


def at_least(ax: Axes, width: float) -> None:
    """Widen the range of the x axis to at least this width: without it, the smallest differences would look large.

    The values are not negative, so the range does not reach far below 0.
    """
    low, high = ax.get_xlim()
    if high - low < width:
        low = max((low + high - width) / 2, -width / 10)
        ax.set_xlim(low, low + width)


def grid(count: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """Return a page-wide figure of `count` panels of a height in inches, axes shared, in rows of at most `columns`."""
    figure = Figure(figsize=(PAGE_WIDTH, -(-count // min(count, columns)) * height))
    return figure, panels(figure, count, columns)


def panels(figure: Figure, count: int, columns: int) -> list[Axes]:
    """Return `count` panels in a figure or a part of it, axes shared, in rows of at most `columns`.

    The lowest panel of each column has the tick labels, also where the last row is not full.
    """
    columns = min(count, columns)
    axes = figure.subplots(-(-count // columns), columns, sharex=True, sharey=True, squeeze=False).flat
    for unused in axes[count:]:
        unused.remove()
    for lowest in axes[max(count - columns, 0) : count]:
        lowest.tick_params(labelbottom=True)
    return list(axes[:count])


def line(ax: Axes, rows: pd.DataFrame, metric: str, band: bool = True, /, **look: object) -> None:
    """Draw a metric's mean over networks, by the table's index (K, or a share), and the band of its interval."""
    ax.plot(rows.index, rows[f"{metric}_mean"], **look)
    if band:
        low, high = rows[f"{metric}_low"], rows[f"{metric}_high"]
        ax.fill_between(rows.index, low, high, color=look["color"], alpha=0.12, lw=0)
        # Thin edges show whose band is whose where two overlap.
        for edge in (low, high):
            ax.plot(rows.index, edge, color=look["color"], alpha=0.5, lw=0.4, label="_edge")


def constant_answer(curve: pd.DataFrame, metric: str, task: str) -> tuple[float, str]:
    """Return the accuracy or balanced accuracy of the best constant answer, and its name. curve: of mean_curves.

    A table without a column for it is of the task `pairs`, where balanced accuracy is one half. In balanced accuracy,
    each constant answer has the same value.
    """
    score = curve[f"constant_{metric}"].iloc[0] if f"constant_{metric}" in curve else 0.5
    return float(score), tasks.metrics_of(task).CONSTANT_ANSWER[1] if metric == "accuracy" else "constant answer"


def heat_map(ax: Axes, edges: np.ndarray, values: np.ndarray, names: Sequence[str], highest: float) -> ScalarMappable:
    """Draw values (rows, columns) as colours from 0 to the highest, the first row on top; return what maps them.

    edges: of the columns. names: of the rows; none of them if it is empty.
    """
    rows = np.arange(len(values) + 1) - 0.5
    colours = ax.pcolormesh(edges, rows, values, cmap=COLOURMAP, vmin=0, vmax=highest, rasterized=True)
    ax.set(xlim=(edges[0], edges[-1]), ylim=(len(values) - 0.5, -0.5))
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(axis="y", length=0)
    ax.spines[:].set_visible(False)
    return colours


def colour_bar(figure: Figure, axes: Axes | list[Axes], colours: ScalarMappable, label: str, **place) -> Colorbar:
    """Add a colour bar to panels and return it. place: options of matplotlib's `colorbar`."""
    bar = figure.colorbar(colours, ax=axes, label=label, **{"aspect": 30, "pad": 0.02} | place)
    bar.outline.set_linewidth(0.4)
    return bar


def dots(panels: Mapping[str, pd.DataFrame], order: Sequence[str], title: str) -> list[Axes]:
    """Return the panels of a figure, side by side: a value with its interval per criterion and variant.

    panels: rows by the title of the panel, with the columns criterion, removal, repair, mean, low, high and, unless all
    marks are filled, `filled`. order: the criteria from the bottom; each has its colour, and each variant a shape.
    title: of the figure.
    """
    names = variants(next(iter(panels.values())))
    figure = Figure(figsize=(PAGE_WIDTH, 1.5 + len(order) * (0.1 + 0.09 * len(names))))
    # The rows of two criteria are 1 apart.
    apart = 0.88 / max(len(names), 4)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (heading, rows) in zip(axes, panels.items()):
        ax.set_title(heading, fontsize=SMALL)
        ax.grid(axis="y", color="#DDDDDD", lw=0.5)
        ax.set_axisbelow(True)
        ax.locator_params(axis="x", nbins=5)
        ax.margins(x=0.06)
        for row in rows.to_dict("records"):
            place, colour = (
                list(names).index((row["removal"], row["repair"])),
                criterion_look(row["criterion"])["color"],
            )
            at = order.index(row["criterion"]) + apart * ((len(names) - 1) / 2 - place)
            look = {"color": colour, "mfc": colour if row.get("filled", True) else "white", "ms": 3.5, "mew": 0.8}
            # A single network has a value, but no interval.
            ax.hlines(at, row["low"], row["high"], color=colour, lw=1)
            ax.plot(row["mean"], at, SHAPES[place % len(SHAPES)], **look)
    axes[0].set_yticks(range(len(order)), [label(name) for name in order])
    axes[0].set_ylim(-0.6, len(order) - 0.4)
    shapes = [
        Line2D([], [], color=BLACK, marker=SHAPES[i % len(SHAPES)], ms=3.5, lw=1, label=name)
        for i, name in enumerate(names.values())
    ]
    legend(figure, shapes, title)
    return list(axes)


def legend(figure: Figure, entries: Axes | Sequence[Artist], title: str) -> None:
    """Add a legend above all panels, with a heading. entries: artists with labels, or a panel that has them."""
    handles = entries.get_legend_handles_labels()[0] if isinstance(entries, Axes) else entries
    # At most as many columns as fit on the page, for characters of a twentieth of an inch.
    width = 0.5 + 0.05 * max(len(handle.get_label()) for handle in handles)
    ncols = max(1, min(4, int(PAGE_WIDTH / width)))
    figure.legend(handles=handles, loc="outside upper left", ncols=ncols, title=title, alignment="left")


def head(figure: Figure, text: str) -> None:
    """Write lines of text over a figure, from its left edge."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=SMALL)


def warn(figure: Figure, text: str) -> None:
    """Write a warning across the whole figure, so that no crop of it lacks the warning."""
    width, height = figure.get_size_inches()
    angle = math.degrees(math.atan2(height, width)) / 2
    look = {"ha": "center", "va": "center", "color": WARNING, "alpha": 0.45, "weight": "bold", "rotation": angle}
    figure.text(0.5, 0.5, "\n".join(textwrap.wrap(text, 42)), fontsize=min(2.4 * width, 6 * height), **look)
