"""Each criterion minus random, and minus greedy, on the same networks: what chance doesn't explain."""

import pandas as pd
from matplotlib.figure import Figure

from prunecurve.figures import Data, style
from prunecurve.naming import BASELINES
from prunecurve.statistics.comparisons import LEVEL

QUANTITIES = {"balanced_accuracy_area": "area under\nbalanced accuracy", "accuracy_area": "area under\naccuracy"}


def draw(data: Data) -> Figure:
    """A row per criterion in its colour, a shape per removal, filled where it holds after Holm's correction.

    The order is that of the areas: by the difference in the first panel, for the first removal.
    """
    table = data.table
    removals = list(table["removal"].unique())
    panels = [(quantity, name) for quantity in QUANTITIES for name in BASELINES if name in set(table["baseline"])]
    order = _order(table, removals[0], *panels[0])
    figure, axes = style.rows_of_criteria(order, removals, len(panels))
    for ax, (quantity, baseline) in zip(axes, panels):
        ax.axvline(0, color=style.GREY, lw=0.8)
        for row in table[(table["quantity"] == quantity) & (table["baseline"] == baseline)].to_dict("records"):
            place = order.index(row["criterion"]), removals.index(row["removal"]), len(removals)
            face = {} if row["p_holm"] < LEVEL else {"markerfacecolor": "white"}
            style.mark(ax, *place, [row[part] for part in ("mean", "low", "high")], row["criterion"], **face)
        ax.set_title(f"{QUANTITIES[quantity]}:\ncriterion minus {baseline}", fontsize=style.SMALL)
        ax.set_xlabel("← worse    better →", fontsize=style.SMALL)
    seeds, family = int(table["seeds"].max()), int(table["comparisons"].max())
    style.legend_of_shapes(
        figure,
        removals,
        f"{style.where(table)}: mean difference on the same {seeds} networks (seeds), bar: 95 % Student t interval, "
        f"not corrected;\nfilled: p < {LEVEL} after Holm’s correction for the {family} comparisons of an area",
    )
    return figure


def _order(table: pd.DataFrame, removal: str, quantity: str, baseline: str) -> list[str]:
    """The criteria from the lowest to the highest difference; a baseline's difference from itself is zero."""
    rows = table[(table["quantity"] == quantity) & (table["baseline"] == baseline) & (table["removal"] == removal)]
    mean = rows.set_index("criterion")["mean"].reindex(table["criterion"].unique(), fill_value=0.0)
    return list(mean.sort_values(kind="stable").index)
