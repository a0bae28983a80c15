"""Each criterion less random, and less greedy, removal on the same networks: what chance doesn't explain."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from prunecurve.figures import Data, style
from prunecurve.naming import BASELINES

QUANTITIES = {"balanced_accuracy_area": "balanced accuracy area", "accuracy_area": "accuracy area"}
LEVEL = 0.05


def draw(data: Data) -> Figure:
    """A row a criterion, a colour a removal; filled where the difference stands after Holm's correction."""
    table = data.table
    baselines = [name for name in BASELINES if name in set(table["baseline"])]
    removals = list(table["removal"].unique())
    order = [name for name in reversed(data.criteria) if name in set(table["criterion"])]
    columns = [(quantity, baseline) for quantity in QUANTITIES for baseline in baselines]
    figure = Figure(figsize=(style.PAGE_WIDTH, 1.5 + len(order) * (0.1 + 0.09 * len(removals))))
    axes = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for ax, (quantity, baseline) in zip(axes, columns):
        rows = table[(table["quantity"] == quantity) & (table["baseline"] == baseline)]
        ax.axvline(0, color=style.GREY, lw=0.8)
        for i, removal in enumerate(removals):
            for row in rows[rows["removal"] == removal].itertuples():
                at = order.index(row.criterion) + 0.22 * ((len(removals) - 1) / 2 - i)
                ax.hlines(at, row.low, row.high, color=style.COLOURS[i], lw=1)
                face = style.COLOURS[i] if row.p_holm < LEVEL else "white"
                ax.plot(row.mean, at, "osD^"[i % 4], color=style.COLOURS[i], mfc=face, ms=3.2, mew=0.8)
        ax.set_title(f"{QUANTITIES[quantity]}\nless {baseline}’s", fontsize=7)
        ax.grid(axis="y", color="#dddddd", lw=0.5)
        ax.set_axisbelow(True)
    axes[0].set_yticks(np.arange(len(order)), [style.label(name) for name in order])
    axes[0].set_ylim(-0.6, len(order) - 0.4)
    seeds, family = int(table["seeds"].max()), int(table["comparisons"].max())
    marks = [
        Line2D([], [], color=style.COLOURS[i], marker="osD^"[i % 4], ms=3.2, lw=1, label=style.label(removal))
        for i, removal in enumerate(removals)
    ]
    figure.legend(
        handles=marks,
        loc="outside upper left",
        ncols=4,
        title=f"{style.where(table)}: mean paired difference over {seeds} networks (seeds), "
        f"bar: 95 % Student t interval, not corrected;\n"
        f"filled: p < {LEVEL} after Holm’s correction for the {family} comparisons of a quantity",
        alignment="left",
        title_fontsize=7,
    )
    return figure
