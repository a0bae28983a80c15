"""Each criterion's curve in four numbers: areas under two accuracies, largest K within a point of each."""

from matplotlib.figure import Figure

from prunecurve.figures import Data, style
from prunecurve.statistics.means import VARIANT

PANELS = (
    ("balanced_accuracy_area", "area under\nbalanced accuracy"),
    ("accuracy_area", "area under\naccuracy"),
    ("largest_k_balanced_accuracy", "largest K within one\npoint of balanced accuracy"),
    ("largest_k_accuracy", "largest K within one\npoint of accuracy"),
)


def draw(data: Data) -> Figure:
    """Return a row per criterion in its colour, the best by the first panel on top; a shape per variant, intervals."""
    table = data.table
    first = table.groupby(VARIANT, sort=False).get_group(next(iter(style.variants(table)))).set_index("criterion")
    order = list(first["balanced_accuracy_area_mean"].sort_values(kind="stable").index)
    panels = {title: table.rename(columns=lambda c, q=quantity: c.removeprefix(f"{q}_")) for quantity, title in PANELS}
    title = (
        f"{style.heading(table, 'bar')}\n"
        "area: the curve’s mean height over K; largest K within one point: this and every smaller evaluated K keep\n"
        "the unpruned network’s value within one percentage point; comparable only where the same K are evaluated"
    )
    axes = style.dots(panels, order, title)
    for ax in axes[:2]:
        style.at_least(ax, 0.1)
    for ax in axes[2:]:
        ax.locator_params(axis="x", nbins=5, integer=True)
        style.at_least(ax, 2)
    return axes[0].figure
