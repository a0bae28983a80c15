"""Why the curve looks as it does at large K: what metrics and kinds of removal make of the same networks.

Above, one network: accuracy, balanced accuracy and AUROC, and where it gives (nearly) one answer to everything.
Below, an answer's share of all answers in every network: of *same*, or of the most frequent answer if there are more
than two. The lines under the figure are generated from the numbers.
"""

import textwrap
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from prunecurve.figures import Data, style
from prunecurve.statistics.shape import METRICS, constant, constant_runs, with_answers
from prunecurve.statistics.shape_text import CONSTANT_TEXT, NAMES, short_lines

DASHES = dict(zip(METRICS, ("-", (0, (5, 1.5)), (0, (1, 1)))))
SHADES = {"same": "#F7E2B3", "different": "#CCE8F8"}
# Of the answers of tasks with other classes: pale, so that lines on them can be read. More answers share the last one.
PALE = ("#CCE8F8", "#F7E2B3", "#CDEBDD", "#F3D9E8", "#E3DDF3")
OTHERS = "#E3E3E3"
# A longer name of a class is cut.
NAME_WIDTH = 14
# As many as a line under the figure has room for.
MOST_CHARACTERS = 145


def draw(data: Data) -> Figure:
    """A column per removal; the network of the first seed above, all networks below."""
    rows = with_answers(data.table, data.task)
    removals, seeds = list(rows["removal"].unique()), sorted(rows["seed"].unique())
    figure = Figure(figsize=(style.PAGE_WIDTH, 5.8))
    above, below = figure.subplots(2, len(removals), sharex=True, sharey=True, squeeze=False)
    shades = shades_of(rows[rows["seed"] == seeds[0]])
    for ax, lower, removal in zip(above, below, removals):
        curves = [rows[(rows["removal"] == removal) & (rows["seed"] == seed)].sort_values("k") for seed in seeds]
        _metrics(ax, curves[0], shades)
        ax.set_title(f"{style.label(removal)}:\none network (seed {seeds[0]})", loc="left")
        _shares(lower, curves)
        others = (
            f"all {len(seeds)} networks (black: seed {seeds[0]})"
            if len(seeds) > 1
            else f"the network of seed {seeds[0]}"
        )
        lower.set_title(others, loc="left")
        style.k_axis(lower, int(rows["k"].max()), ticks=6)
    _name_axes(above[0], below[0], seeds, data.inputs, "predicted_same_rate" in rows)
    handles = [*above[0].get_lines()[: len(METRICS)], *_patches(shades)]
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=3,
        title=f"{style.where(rows)}, channels in the order of {style.label(rows['criterion'].iloc[0])}",
        alignment="left",
    )
    lines = (textwrap.fill(line, MOST_CHARACTERS, subsequent_indent="    ") for line in short_lines(rows, data.task))
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=6.5)
    return figure


def shades_of(rows: pd.DataFrame) -> dict[str, str]:
    """The shade of each constant answer, in the order of their frequency; beyond those of PALE they have none."""
    if "predicted_same_rate" in rows:
        return SHADES
    frequent = rows[constant(rows)]["answer"].value_counts().index
    return dict(zip(frequent, (*PALE, *[OTHERS] * len(frequent))))


def _patches(shades: dict[str, str]) -> list[Patch]:
    """The legend of the shades; all answers with the last one have one entry."""
    own = [(name, colour) for name, colour in shades.items() if colour != OTHERS]
    most = f"to {CONSTANT_TEXT} or more"
    patches = [Patch(color=colour, label=f"answers “{_cut(name)}” {most}") for name, colour in own]
    return patches + [Patch(color=OTHERS, label=f"another answer {most}")] * (len(own) < len(shades))


def _name_axes(above: Axes, below: Axes, seeds: Sequence[int], inputs: str, of_same: bool) -> None:
    """The labels of the y axes."""
    above.set(ylim=(-0.02, 1.02), ylabel=f"one network (seed {seeds[0]}):\nmetric on the test {inputs}")
    share = "share predicted “same”" if of_same else "share of the most frequent answer"
    below.set_ylabel(f"{'all networks' if len(seeds) > 1 else 'the same network'}:\n{share}")


def _shares(ax: Axes, curves: list[pd.DataFrame]) -> None:
    """The share of an answer in every network, the first one in black."""
    of_same = "predicted_same_rate" in curves[0]
    for curve in reversed(curves):
        look = {"color": "black", "lw": 1.2} if curve is curves[0] else {"color": style.GREY, "lw": 0.6}
        ax.plot(curve["k"], curve["predicted_same_rate" if of_same else "share"], **look)
    if of_same:
        ax.axhline(0.5, color=style.GREY, lw=0.5, ls=(0, (1, 2)))


def _metrics(ax: Axes, curve: pd.DataFrame, shades: dict[str, str]) -> None:
    for i, metric in enumerate(METRICS):
        ax.plot(curve["k"], curve[metric], color=style.COLOURS[i], linestyle=DASHES[metric], label=NAMES[metric])
    # Half a step to either side: an answer at a single K is one of the curve's points, not a line without width.
    runs = constant_runs(curve["k"].to_numpy(), curve["answer"].to_numpy(), constant(curve))
    for first, last, answer in runs:
        ax.axvspan(first - 0.5, last + 0.5, color=shades[answer], lw=0, zorder=0)


def _cut(name: str) -> str:
    return name if len(name) <= NAME_WIDTH else f"{name[: NAME_WIDTH - 1]}…"
