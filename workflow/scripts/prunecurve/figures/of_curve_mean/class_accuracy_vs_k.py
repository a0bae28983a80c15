"""Recall of each class and the share predicted *same* over K, a panel a criterion: why accuracy wobbles at large K.

Accuracy is a weighted sum of the two recalls. With nine different pairs to one same, a network that
flips between always-same and always-different moves between 0.1 and 0.9 without telling anything apart.
"""

from matplotlib.figure import Figure

from prunecurve.figures import Data, style
from prunecurve.statistics import by_criterion, over_seeds

# More panels than fit a page are those of the first kind of removal alone.
MOST = 24

LINES = {
    "recall_different": ("recall of different", style.COLOURS[0], "-"),
    "recall_same": ("recall of same", style.COLOURS[1], (0, (5, 1.5))),
    "predicted_same_rate": ("share predicted same", "#000000", (0, (1, 1))),
}


def draw(data: Data) -> Figure:
    """The figure; each line is the mean over seeds."""
    table = by_criterion(data.table)
    removals = list(table["removal"].unique())
    removals = removals[:1] if len(removals) * len(data.criteria) > MOST else removals
    shown = [(removal, criterion) for removal in removals for criterion in data.criteria]
    many = len(shown) > 8
    figure, axes = style.panels(len(shown), columns=4 if many else 2, height=1.6 if many else 2.3)
    truly_same = ((table["tp"] + table["fn"]) / (table["tp"] + table["fp"] + table["tn"] + table["fn"])).mean()
    for ax, (removal, criterion) in zip(axes, shown):
        curve = table[(table["removal"] == removal) & (table["criterion"] == criterion)]
        for metric, (label, colour, dash) in LINES.items():
            line = over_seeds(curve, metric)
            style.line_with_band(ax, line, label, colour, dash)
        ax.axhline(truly_same, color=style.GREY, lw=0.8, ls=(0, (6, 3)), zorder=0, label="share truly same")
        several = len(removals) > 1
        ax.set_title(style.label(criterion) + (f", {style.label(removal)}" if several else ""), loc="left")
        ax.set(xlim=(0, table["k"].max()), ylim=(-0.02, 1.02))
    alone = f" (removal: {style.label(removals[0])})" if len(removals) == 1 else ""
    figure.supxlabel(f"K, channels removed{alone}", fontsize=8)
    figure.supylabel("share of the test pairs (of the class)", fontsize=8)
    style.legend(figure, axes[0], table)
    return figure
