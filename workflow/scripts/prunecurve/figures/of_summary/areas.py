"""What each criterion's curve comes to, over seeds: areas under two accuracies, largest K within a point of each."""

import numpy as np
from matplotlib.figure import Figure

from prunecurve.figures import Data, style

PANELS = {
    "balanced_accuracy_area": "area under\nbalanced accuracy",
    "accuracy_area": "area under\naccuracy",
    "largest_k_balanced_accuracy": "largest K within 1 point\nof balanced accuracy",
    "largest_k_accuracy": "largest K within 1 point\nof accuracy",
}


def draw(data: Data) -> Figure:
    """A row a criterion, the best by the first panel on top; a colour a removal; bars are the intervals over seeds."""
    table = data.table
    removals = list(table["removal"].unique())
    first = table[table["removal"] == removals[0]].set_index("criterion")
    order = first["balanced_accuracy_area_mean"].sort_values(kind="stable").index
    figure = Figure(figsize=(style.PAGE_WIDTH, 1.3 + len(order) * (0.1 + 0.09 * len(removals))))
    axes = figure.subplots(1, len(PANELS), sharey=True)
    for ax, (quantity, title) in zip(axes, PANELS.items()):
        for i, removal in enumerate(removals):
            rows = table[table["removal"] == removal].set_index("criterion").loc[order]
            mean, low, high = (rows[f"{quantity}_{part}"].to_numpy() for part in ("mean", "low", "high"))
            at = np.arange(len(order)) + 0.22 * ((len(removals) - 1) / 2 - i)
            # A single network has a value and no interval.
            ax.hlines(at, low, high, color=style.COLOURS[i], lw=1)
            ax.plot(mean, at, "osD^"[i % 4], color=style.COLOURS[i], ms=3.2, label=style.label(removal))
        ax.set_title(title, fontsize=7)
        ax.grid(axis="y", color="#dddddd", lw=0.5)
        ax.set_axisbelow(True)
        ax.margins(x=0.06)
    axes[0].set_yticks(np.arange(len(order)), [style.label(name) for name in order])
    axes[0].set_ylim(-0.6, len(order) - 0.4)
    seeds = int(table["seeds"].iloc[0])
    draws = int(table["draws"].max())
    told = f"mean of {seeds} networks (seeds), bar: {table['interval'].iloc[0].replace('%', ' %')} interval"
    figure.legend(
        *axes[0].get_legend_handles_labels(),
        loc="outside upper left",
        ncols=4,
        title=f"{style.where(table)}: {'one network (seed)' if seeds == 1 else told}"
        + (f"; random: mean of {draws} orders a network" if draws > 1 else ""),
        alignment="left",
        title_fontsize=7,
    )
    return figure
