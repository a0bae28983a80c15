"""Why the curve looks as it does at large K: what metrics and kinds of removal make of the same networks.

Above, one network: accuracy, balanced accuracy and AUROC, and where it gives (nearly) one answer to everything.
Below, an answer's share of all answers in every network: of *same*, or of the most frequent answer if there are more
than two. The lines under the figure are generated from the numbers.
"""

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from prunecurve.figures import Data, style
from prunecurve.naming import shortened
from prunecurve.statistics.means import VARIANT
from prunecurve.statistics.shape import (
    CONSTANT,
    CONSTANT_TEXT,
    METRICS,
    NAMES,
    constant_runs,
    short_lines,
    with_answers,
)

LOOKS = dict(zip(METRICS, zip(style.COLOURS, ("-", (0, (5, 1.5)), (0, (1, 1))))))
SHADES = {"same": "#F7E2B3", "different": "#CCE8F8"}
# Of the answers of tasks with other classes: pale, so that lines on them can be read. Further answers share OTHERS.
PALE = ("#CCE8F8", "#F7E2B3", "#CDEBDD", "#F3D9E8", "#E3DDF3")
OTHERS = "#E3E3E3"
# A longer name of a class is cut.
NAME_WIDTH = 14
# As many as a line under the figure has room for.
MOST_CHARACTERS = 145


def draw(data: Data) -> Figure:
    """Return a column per removal and repair; the network of the first seed above, all networks below."""
    rows = with_answers(data.table, data.task)
    variants, seeds = style.variants(rows), sorted(rows["seed"].unique())
    figure = Figure(figsize=(style.PAGE_WIDTH, 5.8))
    above, below = figure.subplots(2, len(variants), sharex=True, sharey=True, squeeze=False)
    shades = shades_of(rows[rows["seed"] == seeds[0]])
    share = "predicted_same_rate" if "predicted_same_rate" in rows else "share"
    for column, (upper, lower, variant) in enumerate(zip(above, below, variants)):
        own = rows.groupby(VARIANT).get_group(variant)
        curves = [own[own["seed"] == seed].sort_values("k") for seed in seeds]
        _metrics(upper, curves[0], shades)
        upper.set_title(variants[variant] if column else f"removal: {variants[variant]}", loc="left")
        for curve in reversed(curves):
            look = {"color": "black", "lw": 1.2} if curve is curves[0] else {"color": style.GREY, "lw": 0.6}
            lower.plot(curve["k"], curve[share], **look)
        if share == "predicted_same_rate":
            lower.axhline(0.5, color=style.GREY, lw=0.5, ls=(0, (1, 2)))
        style.k_axis(lower, int(rows["k"].max()), ticks=6)
        lower.set_xlabel("K, channels removed")
    above[0].set(ylim=(-0.02, 1.02), ylabel=f"one network (seed {seeds[0]}):\nmetric on the test {data.inputs}")
    which = f"all {len(seeds)} networks (black: seed {seeds[0]})" if len(seeds) > 1 else "the same network"
    named = "share predicted “same”" if share == "predicted_same_rate" else "share of the most frequent answer"
    below[0].set_ylabel(f"{which}:\n{named}")
    title = f"{style.where(rows)}, channels in the order of {style.label(rows['criterion'].iloc[0])}"
    style.legend(figure, [*above[0].get_lines()[: len(METRICS)], *_patches(shades)], title)
    lines = (
        textwrap.fill(line, MOST_CHARACTERS, subsequent_indent="    ") for line in short_lines(data.table, data.task)
    )
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=6.5)
    return figure


def shades_of(rows: pd.DataFrame) -> dict[str, str]:
    """Return the shade of each constant answer, in the order of their frequency: PALE, then OTHERS."""
    if "predicted_same_rate" in rows:
        return SHADES
    frequent = rows.loc[rows["share"] >= CONSTANT, "answer"].value_counts().index
    return dict(zip(frequent, (*PALE, *[OTHERS] * len(frequent))))


def _patches(shades: dict[str, str]) -> list[Patch]:
    """Return the legend of the shades; all answers with the shade OTHERS have one entry."""
    texts = {colour: f"answers “{shortened(name, NAME_WIDTH)}”" for name, colour in shades.items()}
    texts |= {OTHERS: "a different answer"} if OTHERS in texts else {}
    return [Patch(color=colour, label=f"{text} to {CONSTANT_TEXT} or more") for colour, text in texts.items()]


def _metrics(ax: Axes, curve: pd.DataFrame, shades: dict[str, str]) -> None:
    """Draw the metrics of a network, with shades where it gives a constant answer."""
    for metric, (colour, dash) in LOOKS.items():
        ax.plot(curve["k"], curve[metric], color=colour, linestyle=dash, label=NAMES[metric])
    # Half a step to either side: an answer at a single K is one of the curve's points, not a line without width.
    for first, last, answer in constant_runs(curve):
        ax.axvspan(first - 0.5, last + 0.5, color=shades[answer], lw=0, zorder=0)
