"""Recall of each class over K, a panel per criterion: why accuracy wobbles at large K.

Accuracy is a weighted sum of the recalls. In the task `pairs`, with nine different pairs to one same, a network that
flips between always-same and always-different moves between 0.1 and 0.9 and distinguishes no pairs in either case. A
few classes are lines; the recalls of more are the colours of a heat map, with one row per class.
"""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from prunecurve.figures import Data, style
from prunecurve.naming import criterion_of
from prunecurve.statistics.means import half_width

# More panels than fit on a page are those of the first removal alone.
MOST = 24
# More classes than this are a heat map; more than this have no names at its rows.
MOST_LINES, MOST_NAMES = 4, 20
# A longer name of a class is cut.
NAME_WIDTH = 12
# An answer is marked where it has at least this share of all answers.
MAJORITY = 0.5
COLOURMAP = "viridis"

LINES = {
    "recall_different": ("recall of different", style.COLOURS[0], "-"),
    "recall_same": ("recall of same", style.COLOURS[1], (0, (5, 1.5))),
    "predicted_same_rate": ("share predicted same", style.BLACK, (0, (1, 1))),
}


def draw(data: Data) -> Figure:
    """The figure; each line or colour is a mean over networks, the band of a line its interval."""
    table = data.table
    removals = list(table["removal"].unique())
    removals = removals[:1] if len(removals) * len(data.criteria) > MOST else removals
    shown = [(removal, criterion) for removal in removals for criterion in data.criteria]
    many = len(shown) > 8
    figure, axes = style.grid(len(shown), columns=4 if many else 2, height=1.6 if many else 2.3)
    for ax, (removal, criterion) in zip(axes, shown):
        several = f", {style.label(removal)}" if len(removals) > 1 else ""
        ax.set_title(style.label(criterion) + several, loc="left", fontsize=7)
        style.k_axis(ax, int(table["k"].max()), ticks=4 if many else 8, named=False)
    if data.recalls is None:
        _pairs(axes, shown, table)
        named = "recall: share of the class; others: share of all test pairs"
    else:
        named = _classes(axes, shown, means_of_classes(data.recalls))
    alone = f" (removal: {style.label(removals[0])})" if len(removals) == 1 else ""
    figure.supxlabel(f"K, channels removed{alone}", fontsize=8)
    figure.supylabel(named, fontsize=8)
    if axes[0].get_legend_handles_labels()[0]:
        style.legend(figure, axes[0], style.heading(table))
    else:
        title = style.heading(table, interval="")
        figure.legend(handles=_colours(), loc="outside upper left", ncols=7, title=title, alignment="left")
    return figure


def _pairs(axes: list[Axes], shown: list[tuple[str, str]], table: pd.DataFrame) -> None:
    """The recalls of both classes and the share of an answer, as columns of curve_mean.csv."""
    truly_same = 1 - table["constant_accuracy"].mean()
    for ax, (removal, criterion) in zip(axes, shown):
        curve = table[(table["removal"] == removal) & (table["criterion"] == criterion)].set_index("k")
        for metric, (label, colour, dash) in LINES.items():
            style.line_with_band(ax, curve, metric, label=label, color=colour, linestyle=dash)
        style.constant_answer(ax, truly_same, label="share truly same")
        ax.set_ylim(-0.02, 1.02)


def means_of_classes(recalls: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over networks of each class's recall and its interval, and its largest share of the answers.

    recalls: class_recall.csv. The result has the index removal, criterion, class, name and k. Draws of random are
    averaged first.
    """
    keys = ["removal", "criterion", "class", "name", "k"]
    rows = recalls.assign(criterion=recalls["criterion"].map(criterion_of))
    of_network = rows.groupby([*keys, "seed"], sort=False)[["recall", "answers"]].mean()
    by_class = of_network.groupby(keys, sort=False)
    mean, half = by_class.mean(), half_width(by_class["recall"].std(ddof=1).to_numpy(), by_class.size().to_numpy())
    columns = {"recall_mean": mean["recall"], "answers": by_class["answers"].max()}
    columns |= {f"recall_{end}": (mean["recall"] + sign * half).clip(0, 1) for end, sign in (("low", -1), ("high", 1))}
    return pd.DataFrame(columns)


def _classes(axes: list[Axes], shown: list[tuple[str, str]], means: pd.DataFrame) -> str:
    """All classes of a task that has class_recall.csv; return what the y axis shows."""
    names = means.reset_index()[["class", "name"]].drop_duplicates().sort_values("class")["name"].tolist()
    if len(names) <= MOST_LINES:
        looks = style.line_looks(names)
        for ax, place in zip(axes, shown):
            for (_, name), line in means.loc[place].groupby(["class", "name"]):
                style.line_with_band(ax, line.droplevel([0, 1]), "recall", label=f"recall of {name}", **looks[name])
            ax.set_ylim(-0.02, 1.02)
        return "recall"
    order = _order(means.loc[shown[0]])
    for ax, place in zip(axes, shown):
        _heat_map(ax, means.loc[place], order)
        named = len(names) <= MOST_NAMES
        ax.set_yticks(np.arange(len(order)) if named else [], [_cut(names[c]) for c in order] if named else [])
        ax.tick_params(axis="y", length=0, labelsize=5 if len(shown) > 8 else 6)
    return "class" if len(names) <= MOST_NAMES else f"{len(names)} classes, on top the highest mean recall in panel 1"


def _order(panel: pd.DataFrame) -> list[int]:
    """The classes by number; classes without names at their rows by their mean recall over K, the highest first."""
    means = panel["recall_mean"].groupby("class").mean()
    return list(means.index if len(means) <= MOST_NAMES else means.sort_values(ascending=False, kind="stable").index)


def _heat_map(ax: Axes, panel: pd.DataFrame, order: list[int]) -> None:
    """One row per class from the top, one column per K; a dot where the class has the majority in any network."""
    panel = panel.droplevel("name")
    recall, answers = (panel[name].unstack("k").sort_index(axis=1).loc[order] for name in ("recall_mean", "answers"))
    k = recall.columns.to_numpy(float)
    # Each column reaches half the way to its neighbours.
    between = (k[1:] + k[:-1]) / 2
    edges = np.concatenate([[k[0] - 0.5], between, [k[-1] + 0.5]])
    rows = np.arange(len(order) + 1) - 0.5
    ax.pcolormesh(edges, rows, recall.to_numpy(), vmin=0, vmax=1, cmap=COLOURMAP, rasterized=True)
    row, column = np.nonzero(answers.to_numpy() >= MAJORITY)
    # Without dots, the line has no extent, for which the layout would leave half of the figure empty.
    ax.plot(k[column], row, ".", color=style.COLOURS[1], ms=3, clip_on=False, in_layout=False)
    # The first and the last column are whole, too.
    ax.set(xlim=edges[[0, -1]], ylim=(len(order) - 0.5, -0.5))
    ax.spines[:].set_visible(False)


def _colours() -> list[Patch | Line2D]:
    """The legend of the heat maps."""
    colours = matplotlib.colormaps[COLOURMAP]
    patches = [Patch(color=colours(share), label=f"recall {share:g}") for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    dots = {"ls": "none", "marker": ".", "ms": 5, "color": style.COLOURS[1]}
    return [*patches, Line2D([], [], **dots, label="in a network, at least half of all answers")]


def _cut(name: str) -> str:
    return name if len(name) <= NAME_WIDTH else f"{name[: NAME_WIDTH - 1]}…"
