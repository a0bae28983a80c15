"""Recall of each class and the share predicted *same* over K, a panel per criterion: why accuracy wobbles at large K.

Accuracy is a weighted sum of the two recalls. With nine different pairs to one same, a network that flips between
always-same and always-different moves between 0.1 and 0.9 and distinguishes no pairs in either case.
"""

from matplotlib.figure import Figure

from prunecurve.figures import Data, style

# More panels than fit on a page are those of the first removal alone.
MOST = 24

LINES = {
    "recall_different": ("recall of different", style.COLOURS[0], "-"),
    "recall_same": ("recall of same", style.COLOURS[1], (0, (5, 1.5))),
    "predicted_same_rate": ("share predicted same", style.BLACK, (0, (1, 1))),
}


def draw(data: Data) -> Figure:
    """The figure; each line is a mean over networks, its band the interval."""
    table = data.table
    removals = list(table["removal"].unique())
    removals = removals[:1] if len(removals) * len(data.criteria) > MOST else removals
    shown = [(removal, criterion) for removal in removals for criterion in data.criteria]
    many = len(shown) > 8
    figure, axes = style.grid(len(shown), columns=4 if many else 2, height=1.6 if many else 2.3)
    truly_same = 1 - table["constant_accuracy"].mean()
    for ax, (removal, criterion) in zip(axes, shown):
        curve = table[(table["removal"] == removal) & (table["criterion"] == criterion)].set_index("k")
        for metric, (label, colour, dash) in LINES.items():
            style.line_with_band(ax, curve, metric, label=label, color=colour, linestyle=dash)
        style.constant_answer(ax, truly_same, label="share truly same")
        several = len(removals) > 1
        ax.set_title(style.label(criterion) + (f", {style.label(removal)}" if several else ""), loc="left", fontsize=7)
        ax.set_ylim(-0.02, 1.02)
        style.k_axis(ax, int(table["k"].max()), ticks=4 if many else 8, named=False)
    alone = f" (removal: {style.label(removals[0])})" if len(removals) == 1 else ""
    figure.supxlabel(f"K, channels removed{alone}", fontsize=8)
    figure.supylabel("recall: share of the class; others: share of all test pairs", fontsize=8)
    style.legend(figure, axes[0], style.heading(table))
    return figure
