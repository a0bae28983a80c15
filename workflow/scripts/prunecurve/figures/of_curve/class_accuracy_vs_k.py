"""Recall of each class and the share predicted *same* over K, a panel a criterion: why accuracy wobbles at large K.

Accuracy is a weighted sum of the two recalls. With nine different pairs to one same, a network that
flips between always-same and always-different moves between 0.1 and 0.9 without telling anything apart.
"""

from matplotlib.figure import Figure

from prunecurve.figures import Data, style
from prunecurve.statistics import over_seeds

LINES = {
    "recall_different": ("recall of different", style.COLOURS[0], "-"),
    "recall_same": ("recall of same", style.COLOURS[1], (0, (5, 1.5))),
    "predicted_same_rate": ("share predicted same", "#000000", (0, (1, 1))),
}


def draw(data: Data) -> Figure:
    """The figure; each line is the mean over seeds."""
    table = data.table
    shown = [(r, c) for r in table["removal"].unique() for c in data.criteria]
    figure, axes = style.panels(len(shown), columns=2, height=2.3)
    truly_same = ((table["tp"] + table["fn"]) / (table["tp"] + table["fp"] + table["tn"] + table["fn"])).mean()
    for ax, (removal, criterion) in zip(axes, shown):
        curve = table[(table["removal"] == removal) & (table["criterion"] == criterion)]
        for metric, (label, colour, dash) in LINES.items():
            line = over_seeds(curve, metric)
            style.line_with_band(ax, line, label, colour, dash)
        ax.axhline(truly_same, color=style.GREY, lw=0.8, ls=(0, (6, 3)), zorder=0, label="share truly same")
        several = table["removal"].nunique() > 1
        ax.set_title(style.label(criterion) + (f", {style.label(removal)}" if several else ""), loc="left")
        ax.set(xlim=(0, table["k"].max()), ylim=(-0.02, 1.02))
    figure.supxlabel("K, channels removed from the last convolution", fontsize=8)
    figure.supylabel("share of the test pairs (of the class)", fontsize=8)
    style.legend(figure, axes[0], table)
    return figure
