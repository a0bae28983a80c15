"""Each criterion minus random, and minus greedy, on the same networks: what chance does not explain."""

from matplotlib.figure import Figure

from prunecurve.figures import Data, style
from prunecurve.naming import BASELINES
from prunecurve.statistics.comparisons import LEVEL
from prunecurve.statistics.means import VARIANT

QUANTITIES = {"balanced_accuracy_area": "area under\nbalanced accuracy", "accuracy_area": "area under\naccuracy"}


def draw(data: Data) -> Figure:
    """Return a row per criterion in its colour, a shape per variant, filled where it holds after Holm's correction.

    The order is that of the areas: by the difference in the first panel, for the first variant.
    """
    table = data.table.assign(filled=data.table["p_holm"] < LEVEL)
    panels = {
        f"{title}:\ncriterion minus {baseline}": rows
        for quantity, title in QUANTITIES.items()
        for baseline in BASELINES
        if len(rows := table[(table["quantity"] == quantity) & (table["baseline"] == baseline)])
    }
    first = next(iter(panels.values()))
    mean = (
        first.groupby(VARIANT, sort=False).get_group(next(iter(style.variants(first)))).set_index("criterion")["mean"]
    )
    # A baseline's difference from itself is zero.
    order = list(mean.reindex(table["criterion"].unique(), fill_value=0.0).sort_values(kind="stable").index)
    title = (
        f"{style.where(table)}: mean difference on the same {style.networks_text(int(table['seeds'].max()))}, "
        f"bar: 95 % Student t interval, not corrected;\nfilled: p < {LEVEL} after Holm’s correction for the "
        f"{table['comparisons'].max()} comparisons of an area, open: not"
    )
    axes = style.dots(panels, order, title)
    for ax in axes:
        ax.axvline(0, color=style.GREY, lw=0.8, zorder=1)
        ax.set_xlabel("← worse    better →", fontsize=style.SMALL)
    return axes[0].figure
