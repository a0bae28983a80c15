"""Accuracy over the number K of removed channels, a line a criterion, a panel a kind of removal."""

from matplotlib.figure import Figure

from prunecurve.figures import Data, style
from prunecurve.statistics import over_seeds


def draw(data: Data) -> Figure:
    """The figure; each line is the mean over seeds."""
    table = data.table
    removals = list(table["removal"].unique())
    looks = style.line_styles(data.criteria)
    figure, axes = style.panels(len(removals), columns=1, height=3.6)
    always_different = ((table["tn"] + table["fp"]) / (table["tp"] + table["fp"] + table["tn"] + table["fn"])).mean()
    for ax, removal in zip(axes, removals):
        for criterion in data.criteria:
            curve = table[(table["removal"] == removal) & (table["criterion"] == criterion)]
            line = over_seeds(curve, "accuracy")
            look = looks[criterion]
            style.line_with_band(ax, line, style.label(criterion), look["color"], look["linestyle"])
        control = over_seeds(table[(table["removal"] == removal) & (table["k"] == 0)], "accuracy")["mean"].loc[0]
        ax.plot(0, control, "o", color="black", ms=5, mfc="white", mew=1.2, zorder=5, clip_on=False, label="_control")
        ax.annotate(
            f"K = 0, unpruned: {control:.3f}", (0, control), (9, 5), textcoords="offset points", va="bottom", fontsize=7
        )
        ax.axhline(always_different, color=style.GREY, lw=0.9, ls=(0, (6, 3)), zorder=0)
        ax.annotate(
            f"always “different”: {always_different:.3f}",
            (0, always_different),
            (2, -3),
            textcoords="offset points",
            xycoords=("axes fraction", "data"),
            va="top",
            fontsize=7,
            color=style.GREY,
        )
        ax.set(ylabel="accuracy on the test pairs", xlim=(0, table["k"].max()))
        ax.set_ylim(-0.02, 1.07)
        if len(removals) > 1:
            ax.set_title(f"removal: {style.label(removal)}", loc="left")
    axes[-1].set_xlabel("K, channels removed from the last convolution")
    style.legend(figure, axes[0], table)
    return figure
