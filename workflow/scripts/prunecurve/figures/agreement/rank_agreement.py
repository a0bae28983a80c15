"""How similar the rankings of each two criteria are: Kendall's τ below the diagonal, Spearman's ρ above it."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from prunecurve.figures import Data, style

# In points; numbers that would have to be smaller to fit are left out.
FONT, SMALLEST = 7.0, 5.5


def draw(data: Data) -> Figure:
    """Return a square per pair of criteria, similar criteria next to each other; means over networks."""
    table = data.table.set_index(["criterion", "other"])
    kendall, spearman = (table[f"{method}_mean"].unstack() for method in ("kendall", "spearman"))
    names = similar_together(kendall.reindex(index=data.criteria, columns=data.criteria))
    kendall, spearman = (each.reindex(index=names, columns=names) for each in (kendall, spearman))
    values = 100 * np.where(np.tri(len(names), dtype=bool), kendall, spearman)
    figure = Figure(figsize=(style.PAGE_WIDTH, style.PAGE_WIDTH * 0.85))
    ax = figure.add_subplot()
    image = ax.imshow(values, cmap="RdBu_r", vmin=-100, vmax=100)
    # Squares take six tenths of the figure's width; −100 takes 4.5 characters of 0.6 font sizes.
    font = min(FONT, 0.6 * style.PAGE_WIDTH * 72 / len(values) / (4.5 * 0.6))
    for (row, column), value in np.ndenumerate(values):
        if font >= SMALLEST:
            text = "–" if np.isnan(value) else f"{round(value)}".replace("-", "−")
            colour = "white" if abs(value) > 65 else "black"
            ax.text(column, row, text, ha="center", va="center", fontsize=font, color=colour)
    labels = [style.label(name) for name in names]
    ax.set_xticks(range(len(names)), labels, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(names)), labels)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    seeds = int(data.table["seeds"].max())
    style.head(
        figure,
        f"{style.where(data.table)}: rank correlation of the criteria’s scores × 100, {'mean of ' * (seeds > 1)}"
        f"{style.networks_text(seeds)}; similar ones are neighbours\n"
        "below the diagonal: Kendall’s τ, above it: Spearman’s ρ\n"
        "random: mean over its draws; on the diagonal, of each draw with the others",
    )
    style.colour_bar(figure, ax, image, "rank correlation × 100", shrink=0.7)
    return figure


def similar_together(correlation: pd.DataFrame) -> list[str]:
    """Return the criteria of a symmetric table of correlations, ordered so that neighbours have high ones.

    Hierarchical clustering (average linkage of 1 − correlation) with optimal leaf order; criteria without a
    correlation (equal scores, a single draw of random) count as uncorrelated.
    """
    names = list(correlation.index)
    if len(names) < 3:
        return names
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    distances = 1 - correlation.fillna(0.0).to_numpy()
    np.fill_diagonal(distances, 0)
    # Rounding: what is equal but for the last digit, or below zero by as much.
    condensed = np.clip(np.round(squareform(distances, checks=False), 9), 0, None)
    return [names[leaf] for leaf in leaves_list(linkage(condensed, "average", optimal_ordering=True))]
