"""The P mean feature maps of the unpruned layer, each on its own scale, as the reference experiment shows them."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from prunecurve.figures import Data, style

# Sequential and monotone in lightness, so it survives grey print and colour blindness.
COLOURMAP = "viridis"
# Space between maps in units of a map's width; the line of text above one, in inches.
GAP, TEXT_HEIGHT = 0.10, 0.13


def grid_of(count: int) -> tuple[int, int]:
    """Rows and columns of the grid, as near to square as holds `count` tiles."""
    columns = math.ceil(math.sqrt(count))
    return math.ceil(count / columns), columns


def draw(data: Data, *, shared_scale: bool = False) -> Figure:
    """A tile for each channel, in order of number: its mean map, number, rank, and whether it is dead.

    The table holds one network's channels, with their rank by the study's first criterion: rank r is
    removed for every K ≥ r.
    """
    count, height, width = data.maps.shape
    rows, columns = grid_of(count)
    channels = data.table.set_index("channel")
    side = style.PAGE_WIDTH / (columns * (1 + GAP))
    text = TEXT_HEIGHT / side
    figure = Figure(figsize=(style.PAGE_WIDTH, rows * side * (1 + GAP + text) + 0.9))
    ax = figure.add_subplot()
    highest = float(data.maps.max()) or 1.0
    font = min(6.0, 11 * side)
    for channel, one in enumerate(data.maps):
        left = channel % columns * (1 + GAP)
        top = channel // columns * (1 + GAP + text) + text
        low, high = (0.0, highest) if shared_scale else (float(one.min()), float(one.max()))
        dead = channels.loc[channel, "relu_max"] == 0
        ax.imshow(
            np.full_like(one, np.nan) if dead else one,
            cmap=COLOURMAP,
            norm=Normalize(low, high if high > low else low + 1),
            extent=(left, left + 1, top + 1, top),
            interpolation="nearest",
        )
        _mark_unseen(ax, left, top, height, width)
        rank = channels.loc[channel, "rank"]
        ax.text(left, top - 0.04, str(channel), fontsize=font, va="bottom", weight="bold")
        ax.text(left + 1, top - 0.04, f"r{rank}", fontsize=font, va="bottom", ha="right", color="#333333")
        if dead:
            ax.plot([left, left + 1], [top, top + 1], color="#D55E00", lw=0.8)
            ax.plot([left, left + 1], [top + 1, top], color="#D55E00", lw=0.8)
            ax.add_patch(Rectangle((left, top), 1, 1, fill=False, edgecolor="#D55E00", linewidth=0.8, zorder=3))
    ax.set(xlim=(-0.02, columns * (1 + GAP) - GAP + 0.02), ylim=(rows * (1 + GAP + text) - GAP + 0.02, 0))
    ax.set_aspect("equal")
    ax.axis("off")
    _explain(figure, ax, data, channels, (height, width), highest, shared_scale)
    return figure


def _mark_unseen(ax: Axes, left: float, top: float, height: int, width: int) -> None:
    """Lines before the last row and column of a map of odd size: pooling by two leaves them out."""
    if height % 2:
        ax.plot([left, left + 1], [top + 1 - 1 / height] * 2, color="white", lw=0.7)
    if width % 2:
        ax.plot([left + 1 - 1 / width] * 2, [top, top + 1], color="white", lw=0.7)


def _explain(figure, ax, data, channels, size, highest, shared_scale) -> None:
    """The title and, under the maps, a colour bar."""
    dead = int((channels["relu_max"] == 0).sum())
    seed = channels["seed"].iloc[0]
    told = [
        f"{style.where(data.table)}, seed {seed}: mean of each of the {len(channels)} channels ({size[0]}×{size[1]}) "
        "after ReLU, over all test pairs",
        f"bold: channel number; r: rank by {style.label(data.criteria[0])}, removed for every K ≥ r; "
        f"crossed out: dead, zero everywhere ({dead})",
    ]
    if size[0] % 2 or size[1] % 2:
        told.append("beyond the white lines: left out by the pooling, so never seen by what follows")
    ax.set_title("\n".join(told), loc="left", fontsize=7)
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, highest if shared_scale else 1), COLOURMAP),
        ax=ax,
        orientation="horizontal",
        shrink=0.4,
        aspect=40,
        pad=0.01,
    )
    if not shared_scale:
        bar.set_ticks([0, 1], labels=["the map's lowest", "its highest"])
    bar.set_label("mean activation, one scale for all maps" if shared_scale else "each map on its own scale")
    bar.outline.set_linewidth(0.4)
