"""How all figures look: sizes for a printed page, axes, headings, and one look per criterion in every figure.

Nothing of the caller's environment enters a figure: neither the backend of a notebook (MPLBACKEND), nor a matplotlibrc
or a font cache of the user, nor the fonts of the system.
"""

import functools
import math
import os
import textwrap
import zlib
from collections.abc import Sequence
from contextlib import AbstractContextManager, chdir
from importlib.util import find_spec
from pathlib import Path

# Before the import, which reads them: a notebook names a backend here that the jobs' environment may not have, and a
# matplotlibrc that is damaged would stop the import. One in the working folder comes first, so the import is elsewhere.
os.environ["MPLBACKEND"] = "agg"
os.environ["MATPLOTLIBRC"] = str(Path(find_spec("matplotlib").origin).with_name("mpl-data"))
with chdir(Path(__file__).parent):
    import matplotlib

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from prunecurve.data import tasks
from prunecurve.naming import REVERSED

# Okabe & Ito 2008, for colour-blind readers, without yellow, which is too pale for a line on white; the last two are
# Paul Tol's, darker than the others.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#882255", "#332288")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<")
# Of the kinds of removal.
SHAPES = "osD^"
BLACK, GREY = "#000000", "#777777"
PAGE_WIDTH = 7.2  # inches, two columns of a journal's page
SMALL = 7  # points, for headings and notes
# The definition of a dead channel, wherever one is marked.
DEAD = "zero after ReLU at every position for every test input"

# Each look follows from a criterion's place in this list: criteria that are often drawn together differ in colour.
CRITERIA = (
    *("mean_activation", "l1_norm", "taylor_activation", "apoz", "hrank", "bn_scale", "conv_abs_mean", "shapley"),
    *("chip", "loss_oracle", "activation_std", "l2_norm", "entropy", "taylor_gate", "fpgm", "greedy_backward_forward"),
)
WARNING = "#B00020"
# The baselines have no colour, so that they are the same lines where they are drawn for reference.
BASELINE_LOOKS = {
    "greedy": {"color": BLACK, "linestyle": "-", "marker": "*"},
    "random": {"color": GREY, "linestyle": (0, (2, 1)), "marker": "x"},
}

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
    """The settings, for as long as the context lasts."""
    return matplotlib.rc_context(SETTINGS)


def use_own_fonts() -> None:
    """Let matplotlib find only the fonts that it brings along: a font of the system changes the size of every text."""
    fontManager.ttflist.clear()
    for path in sorted(Path(matplotlib.get_data_path(), "fonts", "ttf").glob("*.ttf")):
        fontManager.addfont(path)


use_own_fonts()


@functools.cache
def _drawable() -> frozenset[int]:
    """The code points of all characters that the font of the figures has."""
    return frozenset(get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap())


def with_drawable_names(table: pd.DataFrame) -> pd.DataFrame:
    """A table with `class 3` in place of the names that have a character which the font does not have, such as Chinese.

    Instead of each such character, matplotlib would draw a box. Names and numbers of classes are in the columns `name`
    and `class`, and `answer` and `most_frequent_answer`, if the table has them.
    """
    for names, numbers in {"name": "class", "answer": "most_frequent_answer"}.items():
        if {names, numbers} <= set(table):
            drawn = {name: all(ord(letter) in _drawable() for letter in name) for name in table[names].unique()}
            table = table.assign(
                **{names: table[names].where(table[names].map(drawn), "class " + table[numbers].map(str))}
            )
    return table


def criterion_look(name: str) -> dict[str, object]:
    """Colour, dash and marker of a criterion: the same in every figure and study, whichever criteria it has.

    A reversed criterion has the colour and, open, the marker of the criterion, and a dotted line. A criterion that is
    not in the list, such as a user's own, takes colour and marker from its name, and a dash that no other one has.
    """
    if name.startswith(REVERSED):
        look = criterion_look(name.removeprefix(REVERSED))
        dots = DASHES[2] if look["linestyle"] == "-" else (0, (1, 2.5))
        return look | {"linestyle": dots, "markerfacecolor": "white"}
    if name in BASELINE_LOOKS:
        return dict(BASELINE_LOOKS[name])
    if name in CRITERIA:
        # Two criteria of one colour differ in dash; no two have the same dash and marker.
        again, place = divmod(CRITERIA.index(name), len(COLOURS))
        return _look(place, DASHES[(place + again) % 2], place + 2 * again)
    number = zlib.crc32(name.encode())
    return _look(number, DASHES[3], number // len(COLOURS))


def _look(colour: int, dash: object, marker: int) -> dict[str, object]:
    return {
        "color": COLOURS[colour % len(COLOURS)],
        "linestyle": dash,
        "marker": MARKERS[marker % len(MARKERS)],
    }


def line_looks(names: Sequence[str]) -> dict[str, dict[str, object]]:
    """A colour and dash per name by its place, for lines that are not criteria: layers, networks. 32 differ."""
    dashes = (DASHES[(i + i // len(COLOURS)) % len(DASHES)] for i in range(len(names)))
    return {
        name: {"color": COLOURS[i % len(COLOURS)], "linestyle": dash}
        for i, (name, dash) in enumerate(zip(names, dashes))
    }


def label(name: str) -> str:
    """A config name as words."""
    return name.replace("_", " ")


def where(table: pd.DataFrame) -> str:
    """The data set and the pruned layer, or the number of layers."""
    layers = table["layer"].unique()
    return f"{table['dataset'].iloc[0]}, {layers[0] if len(layers) == 1 else f'{len(layers)} layers'}"


def heading(table: pd.DataFrame, interval: str = "band") -> str:
    """The first line over a figure: data set and layer, how many networks, what the band or bar is, draws of random.

    table: rows over networks, with `seeds` and `draws` (curve_mean.csv, summary.csv). interval: empty if none is drawn.
    """
    seeds, draws = int(table["seeds"].max()), int(table["draws"].max())
    of_interval = f", {interval}: 95 % Student t interval" if interval else ""
    over = f"mean of {seeds} networks (seeds){of_interval}" if seeds > 1 else "one network (seed)"
    return f"{where(table)}: {over}" + (f"; random: mean of {draws} orders per network" if draws > 1 else "")


def k_axis(ax: Axes, last: int, *, ticks: int = 8, named: bool = True) -> None:
    """An x axis of K from 0 to the last, with integer ticks alone."""
    ax.set_xlim(0, max(last, 1))
    integer_ticks(ax, ticks)
    if named:
        ax.set_xlabel("K, channels removed")


def integer_ticks(ax: Axes, ticks: int = 8) -> None:
    """At most so many ticks on the x axis, at integers: K and channels are counted."""
    ax.xaxis.set_major_locator(MaxNLocator(ticks, integer=True))


def at_least(ax: Axes, width: float) -> None:
    """Widen the range of the x axis to at least this width: without it, the smallest differences would look large.

    The values are not negative, so the range does not reach far below 0.
    """
    low, high = ax.get_xlim()
    if high - low < width:
        low = max((low + high - width) / 2, -width / 10)
        ax.set_xlim(low, low + width)


def grid(count: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """A page-wide figure of `count` panels of a height in inches, axes shared, in rows of at most `columns`."""
    figure = Figure(figsize=(PAGE_WIDTH, -(-count // min(count, columns)) * height))
    return figure, panels(figure, count, columns)


def panels(figure: Figure, count: int, columns: int) -> list[Axes]:
    """So many panels in a figure or a part of it, axes shared, in rows of at most `columns`.

    The lowest panel of each column has the tick labels, also where the last row isn't full.
    """
    columns = min(count, columns)
    axes = figure.subplots(-(-count // columns), columns, sharex=True, sharey=True, squeeze=False).flat
    for unused in axes[count:]:
        unused.remove()
    for lowest in axes[max(count - columns, 0) : count]:
        lowest.tick_params(labelbottom=True)
    return list(axes[:count])


def line_with_band(ax: Axes, line: pd.DataFrame, metric: str, **look: object) -> None:
    """A metric's mean over networks and its interval, by the table's index (K, or a share)."""
    ax.plot(line.index, line[f"{metric}_mean"], **look)
    # Thin edges show whose band is whose where two overlap.
    low, high = line[f"{metric}_low"], line[f"{metric}_high"]
    ax.fill_between(line.index, low, high, color=look["color"], alpha=0.12, lw=0)
    for edge in (low, high):
        ax.plot(line.index, edge, color=look["color"], alpha=0.5, lw=0.4, label="_edge")


def constant_answer(ax: Axes, value: float, label: str = "_constant") -> None:
    """A line at what a network has that gives every input the same answer, or at the share of a class."""
    ax.axhline(value, color="#AAAAAA", lw=0.8, ls=(0, (8, 4)), zorder=0, label=label)


def constant_score(curve: pd.DataFrame, metric: str) -> float:
    """The accuracy or balanced accuracy of the best constant answer; curve: of mean_curves.

    A table without a column for it is of the task `pairs`, where balanced accuracy is one half.
    """
    return float(curve[name].iloc[0]) if (name := f"constant_{metric}") in curve else 0.5


def constant_name(metric: str, task: str) -> str:
    """What the line of `constant_score` shows: in balanced accuracy, each constant answer has the same value."""
    return tasks.load(task).CONSTANT_ANSWER[1] if metric == "accuracy" else "constant answer"


def rows_of_criteria(criteria: Sequence[str], removals: Sequence[str], columns: int) -> tuple[Figure, list[Axes]]:
    """A figure of panels side by side, with one row per criterion, from the bottom, and a mark per removal in it."""
    figure = Figure(figsize=(PAGE_WIDTH, 1.5 + len(criteria) * (0.1 + 0.09 * len(removals))))
    axes = figure.subplots(1, columns, sharey=True, squeeze=False)[0]
    for ax in axes:
        ax.grid(axis="y", color="#DDDDDD", lw=0.5)
        ax.set_axisbelow(True)
        ax.locator_params(axis="x", nbins=5)
        ax.margins(x=0.06)
    axes[0].set_yticks(np.arange(len(criteria)), [label(name) for name in criteria])
    axes[0].set_ylim(-0.6, len(criteria) - 0.4)
    return figure, list(axes)


def mark(ax: Axes, row: int, removal: int, removals: int, values: Sequence[float], criterion: str, **look) -> None:
    """A value and its interval, `values` (mean, low, high), in a criterion's row and colour, in the removal's shape."""
    at, colour = row + 0.22 * ((removals - 1) / 2 - removal), criterion_look(criterion)["color"]
    mean, low, high = values
    # A single network has a value and no interval.
    ax.hlines(at, low, high, color=colour, lw=1)
    ax.plot(mean, at, SHAPES[removal % len(SHAPES)], color=colour, ms=3.5, mew=0.8, **look)


def legend_of_shapes(figure: Figure, removals: Sequence[str], title: str) -> None:
    """A legend of the removals' shapes above all panels, with a heading."""
    handles = [
        Line2D([], [], color=BLACK, marker=SHAPES[i % len(SHAPES)], ms=3.5, lw=1, label=label(removal))
        for i, removal in enumerate(removals)
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, title=title, alignment="left")


def legend(figure: Figure, ax: Axes, title: str) -> None:
    """The legend of a panel's lines above all panels, with a heading."""
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4, title=title, alignment="left")


def head(figure: Figure, text: str) -> None:
    """Lines of text over a figure, from its left edge."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=SMALL)


def warn(figure: Figure, text: str) -> None:
    """Write a warning across the whole figure, so that no crop of it lacks the warning."""
    width, height = figure.get_size_inches()
    lines = "\n".join(textwrap.wrap(text, 42))
    angle = math.degrees(math.atan2(height, width)) / 2
    figure.text(
        *(0.5, 0.5, lines),
        **{"ha": "center", "va": "center", "rotation": angle, "color": WARNING, "alpha": 0.45, "weight": "bold"},
        fontsize=min(2.4 * width, 6 * height),
    )
