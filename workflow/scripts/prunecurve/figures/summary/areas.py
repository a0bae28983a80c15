"""Each criterion's curve in four numbers: areas under two accuracies, largest K within a point of each."""

from matplotlib.figure import Figure

from prunecurve.figures import Data, style

PANELS = {
    "balanced_accuracy_area": "area under\nbalanced accuracy",
    "accuracy_area": "area under\naccuracy",
    "largest_k_balanced_accuracy": "largest K within one\npoint of balanced accuracy",
    "largest_k_accuracy": "largest K within one\npoint of accuracy",
}


def draw(data: Data) -> Figure:
    """Return a row per criterion in its colour, the best by the first panel on top; a shape per removal, intervals."""
    table = data.table
    removals = list(table["removal"].unique())
    first = table[table["removal"] == removals[0]].set_index("criterion")
    order = list(first["balanced_accuracy_area_mean"].sort_values(kind="stable").index)
    figure, axes = style.rows_of_criteria(order, removals, len(PANELS))
    for ax, (quantity, title) in zip(axes, PANELS.items()):
        style.marks(ax, table, order, removals, f"{quantity}_")
        ax.set_title(title, fontsize=style.SMALL)
        if quantity.startswith("largest_k"):
            style.integer_ticks(ax, 5)
            style.at_least(ax, 2)
        else:
            style.at_least(ax, 0.1)
    title = (
        f"{style.heading(table, 'bar')}\n"
        "area: the curve’s mean height over K; largest K within one point: this and every smaller evaluated K keep\n"
        "the unpruned network’s value within one percentage point; comparable only where the same K are evaluated"
    )
    style.legend(figure, style.shapes(removals), title)
    return figure
