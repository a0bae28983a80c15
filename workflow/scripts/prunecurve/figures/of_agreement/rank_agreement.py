"""How alike the rankings of each two criteria are: Kendall's τ below the diagonal, Spearman's ρ above it."""

import numpy as np
from matplotlib.figure import Figure

from prunecurve.figures import Data, style


def draw(data: Data) -> Figure:
    """A square a pair of criteria, in the config's order; the mean over networks of each one's correlation."""
    table = data.table.set_index(["criterion", "other"])
    names = list(data.criteria)
    kendall, spearman = (
        table[f"{m}_mean"].unstack().reindex(index=names, columns=names) for m in ("kendall", "spearman")
    )
    values = np.where(np.tri(len(names), dtype=bool), kendall, spearman)
    figure = Figure(figsize=(style.PAGE_WIDTH, style.PAGE_WIDTH * 0.82))
    ax = figure.add_subplot()
    image = ax.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1)
    font = min(7.0, 105 / len(names))
    for (row, column), value in np.ndenumerate(values):
        # Adding zero takes the sign from what is rounded to nothing.
        told = "–" if np.isnan(value) else f"{round(value, 2) + 0:.2f}".replace("-", "−").replace("0.", ".")
        ax.text(
            column, row, told, ha="center", va="center", fontsize=font, color="white" if abs(value) > 0.65 else "black"
        )
    labels = [style.label(name) for name in names]
    ax.set_xticks(range(len(names)), labels, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(names)), labels)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    seeds = int(data.table["seeds"].max())
    figure.suptitle(
        f"{style.where(data.table)}: rank correlation of the criteria’s scores, mean of {seeds} "
        f"network{'s (seeds)' if seeds > 1 else ''}; below the diagonal Kendall’s τ, above it Spearman’s ρ;\n"
        "random: mean over its draws, on the diagonal of each with the others",
        x=0.01,
        ha="left",
        fontsize=7,
    )
    bar = figure.colorbar(image, ax=ax, shrink=0.6, aspect=30, pad=0.02)
    bar.outline.set_linewidth(0.4)
    return figure
