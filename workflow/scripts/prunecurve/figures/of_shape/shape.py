"""Why the curve looks as it does at large K: what metrics and kinds of removal make of the same networks.

Above, one network: accuracy, balanced accuracy and AUROC, and where it gives (nearly) one answer to everything.
Below, the share predicted *same* of every network. The lines under the figure are generated from the numbers.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from prunecurve.figures import Data, style
from prunecurve.study.shape import CONSTANT_TEXT, METRICS, NAMES, answers, constant_runs, short_lines

DASHES = dict(zip(METRICS, ("-", (0, (5, 1.5)), (0, (1, 1)))))
SHADES = {"same": "#F7E2B3", "different": "#CCE8F8"}


def draw(data: Data) -> Figure:
    """A column per removal; the network of the first seed above, all networks below."""
    rows = data.table
    removals, seeds = list(rows["removal"].unique()), sorted(rows["seed"].unique())
    figure = Figure(figsize=(style.PAGE_WIDTH, 5.8))
    above, below = figure.subplots(2, len(removals), sharex=True, sharey=True, squeeze=False)
    for ax, lower, removal in zip(above, below, removals):
        curves = [rows[(rows["removal"] == removal) & (rows["seed"] == seed)].sort_values("k") for seed in seeds]
        _metrics(ax, curves[0])
        ax.set_title(f"{style.label(removal)}:\none network (seed {seeds[0]})", loc="left")
        for curve in reversed(curves):
            look = {"color": "black", "lw": 1.2} if curve is curves[0] else {"color": style.GREY, "lw": 0.6}
            lower.plot(curve["k"], curve["predicted_same_rate"], **look)
        others = (
            f"all {len(seeds)} networks (black: seed {seeds[0]})"
            if len(seeds) > 1
            else f"the network of seed {seeds[0]}"
        )
        lower.set_title(others, loc="left")
        lower.axhline(0.5, color=style.GREY, lw=0.5, ls=(0, (1, 2)))
        style.k_axis(lower, int(rows["k"].max()), ticks=6)
    above[0].set(ylim=(-0.02, 1.02), ylabel=f"one network (seed {seeds[0]}):\nmetric on the test pairs")
    below[0].set_ylabel(f"{'all networks' if len(seeds) > 1 else 'the same network'}:\nshare predicted “same”")
    patches = [
        Patch(color=colour, label=f"answers “{name}” to {CONSTANT_TEXT} or more") for name, colour in SHADES.items()
    ]
    figure.legend(
        handles=[*above[0].get_lines()[: len(METRICS)], *patches],
        loc="outside upper left",
        ncols=3,
        title=f"{style.where(rows)}, channels in the order of {style.label(rows['criterion'].iloc[0])}",
        alignment="left",
    )
    figure.supxlabel("\n".join(short_lines(rows)), x=0.01, ha="left", fontsize=6.5)
    return figure


def _metrics(ax: Axes, curve: pd.DataFrame) -> None:
    for i, metric in enumerate(METRICS):
        ax.plot(curve["k"], curve[metric], color=style.COLOURS[i], linestyle=DASHES[metric], label=NAMES[metric])
    # Half a step to either side: an answer at a single K is one of the curve's points, not a line without width.
    for first, last, answer in constant_runs(curve["k"].to_numpy(), answers(curve["predicted_same_rate"])):
        ax.axvspan(first - 0.5, last + 0.5, color=SHADES[answer], lw=0, zorder=0)
