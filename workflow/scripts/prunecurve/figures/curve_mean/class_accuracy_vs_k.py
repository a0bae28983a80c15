"""Recall of each class over K, a panel per criterion: why accuracy wobbles at large K.

Accuracy is a weighted sum of the recalls. In the task `pairs`, with nine different pairs to one same, a network that
flips between always-same and always-different moves between 0.1 and 0.9 and distinguishes no pairs in either case. A
few classes are lines; the recalls of more are the colours of a heat map, with one row per class.
"""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from prunecurve.figures import Data, style
from prunecurve.naming import shortened
from prunecurve.statistics.means import VARIANT, by_criterion, over_networks
from prunecurve.statistics.shape import MAJORITY

# More classes than this are a heat map; more than this have no names at its rows.
MOST_LINES, MOST_NAMES = 4, 20
# A longer name of a class is cut.
NAME_WIDTH = 12


def draw(data: Data) -> Figure:
    """Return the figure; each line or colour is a mean over networks, the band of a line its interval."""
    table = data.table
    variants = style.variants(table)
    if len(variants) * len(data.criteria) > style.MOST_PANELS:
        variants = dict(list(variants.items())[:1])
    # The panels of a criterion with each repair are neighbours.
    removals = dict.fromkeys(removal for removal, _ in variants)
    shown = [(*v, criterion) for each in removals for criterion in data.criteria for v in variants if v[0] == each]
    many = len(shown) > 8
    figure, axes = style.grid(len(shown), columns=4 if many else 2, height=1.6 if many else 2.3)
    # A repair has too many words for one line.
    separator = ", " if all(repair == "none" for _, repair in variants) else "\n"
    for ax, (removal, repair, criterion) in zip(axes, shown):
        words = textwrap.fill(variants[removal, repair], 26 if many else 60)
        several = separator + words if len(variants) > 1 else ""
        ax.set_title(style.label(criterion) + several, loc="left", fontsize=7)
        style.k_axis(ax, int(table["k"].max()), ticks=4 if many else 8)
    alone = f" (removal: {next(iter(variants.values()))})" if len(variants) == 1 else ""
    figure.supxlabel(f"K, channels removed{alone}", fontsize=8)
    as_lines = data.recalls is None or data.recalls["class"].nunique() <= MOST_LINES
    if data.recalls is None:
        ylabel = _pairs(axes, shown, table)
    elif as_lines:
        ylabel = _classes(axes, shown, means_of_classes(data.recalls))
    else:
        ylabel, colours = _heat_maps(axes, shown, means_of_classes(data.recalls))
        style.colour_bar(figure, axes, colours, "recall")
    figure.supylabel(ylabel, fontsize=8)
    style.legend(figure, axes[0], style.heading(table, interval="band" if as_lines else ""))
    return figure


def _pairs(axes: list[Axes], shown: list[tuple[str, str, str]], table: pd.DataFrame) -> str:
    """Draw the recalls of both classes and the share of an answer; return what the y axis shows."""
    same = 1 - table["constant_accuracy"].mean()
    for ax, panel in zip(axes, shown):
        curve = table[(table[[*VARIANT, "criterion"]] == list(panel)).all(axis=1)].set_index("k")
        for name, colour, dash in (("different", style.COLOURS[0], "-"), ("same", style.COLOURS[1], (0, (5, 1.5)))):
            style.line(ax, curve, f"recall_{name}", label=f"recall of {name}", color=colour, linestyle=dash)
        # It follows from the recalls, so a band would only cover theirs.
        ax.plot(curve["predicted_same_rate_mean"], color=style.BLACK, ls=(0, (1, 1)), label="share predicted same")
        ax.axhline(same, **style.CONSTANT_LOOK, label="share truly same")
        ax.set_ylim(-0.02, 1.02)
    return "recall: share of the class; others: share of all test pairs"


def means_of_classes(recalls: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over networks of each class's recall and its interval, and its largest share of the answers.

    recalls: class_recall.csv. The result has the index removal, repair, criterion, class, name and k.
    """
    keys, rows = [*VARIANT, "criterion", "class", "name", "k"], by_criterion(recalls)
    answers = rows.groupby([*keys, "seed"], sort=False)["answers"].mean().groupby(keys, sort=False).max()
    return over_networks(rows, keys, {"recall": (0, 1)}).assign(answers=answers)


def _classes(axes: list[Axes], shown: list[tuple[str, str, str]], means: pd.DataFrame) -> str:
    """Draw a line per class; return what the y axis shows."""
    looks = style.line_looks(means.index.unique("name"))
    for ax, panel in zip(axes, shown):
        for (_, name), line in means.loc[panel].groupby(["class", "name"]):
            style.line(ax, line.droplevel([0, 1]), "recall", label=f"recall of {name}", **looks[name])
        ax.set_ylim(-0.02, 1.02)
    return "recall"


def _heat_maps(axes: list[Axes], shown: list[tuple[str, str, str]], means: pd.DataFrame) -> tuple[str, ScalarMappable]:
    """Draw one row per class and one column per K; return what the y axis shows, and the colours.

    Rows with names are in the order of the classes; rows without, by mean recall over K in the first panel, the highest
    on top. A dot marks where the class has the majority of answers in any network.
    """
    names = means.reset_index("name")["name"].groupby("class").first()
    named = len(names) <= MOST_NAMES
    first = means.loc[shown[0]]["recall_mean"].groupby("class").mean()
    order = names.index if named else first.sort_values(ascending=False, kind="stable").index
    for ax, panel in zip(axes, shown):
        values = means.loc[panel].droplevel("name").unstack("k").sort_index(axis=1).loc[order]
        recall, answers = values["recall_mean"], values["answers"]
        k = recall.columns.to_numpy(float)
        # Each column reaches half the way to its neighbours; the first and the last one are whole, too.
        edges = np.concatenate([[k[0] - 0.5], (k[1:] + k[:-1]) / 2, [k[-1] + 0.5]])
        labels = [shortened(name, NAME_WIDTH) for name in names] if named else []
        colours = style.heat_map(ax, edges, recall.to_numpy(), labels, highest=1)
        ax.tick_params(axis="y", labelsize=5 if len(shown) > 8 else 6)
        row, column = np.nonzero(answers.to_numpy() >= MAJORITY)
        label = "class that gets at least half of all answers in a network"
        # Without dots, the line has no extent, for which the layout would leave half of the figure empty.
        ax.plot(k[column], row, ".", color=style.COLOURS[1], ms=3, clip_on=False, in_layout=False, label=label)
    return "class" if named else f"{len(names)} classes, the highest mean recall in panel 1 on top", colours
