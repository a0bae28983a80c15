"""The P mean feature maps of the unpruned layer, each on its own scale, as in the reference experiment."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from prunecurve.errors import required
from prunecurve.figures import Data, style

# Space between maps in units of a map's width; the line of text above one, in inches.
GAP, TEXT_HEIGHT = 0.10, 0.13
DEAD_COLOUR = style.COLOURS[1]


def draw(data: Data, *, shared_scale: bool = False) -> Figure:
    """Return a tile per channel: its mean map, its number, its order of pruning, and whether it is dead.

    The table holds one network's channels, with `order`, the number of channels that the study's first criterion
    removes before it: a channel is removed for every K > order. data.maps_order says which tile comes first. The grid
    is as near to square as holds P tiles. shared_scale: one scale from 0 to the highest value of any map.
    """
    maps = required(data.maps, "figures: the mean maps are missing; give the script --maps")
    columns = math.ceil(math.sqrt(len(maps)))
    rows = math.ceil(len(maps) / columns)
    channels = data.table.set_index("channel")
    if data.maps_order == "pruning":
        channels = channels.sort_values("order")
    side = style.PAGE_WIDTH / (columns * (1 + GAP))
    text = TEXT_HEIGHT / side
    figure = Figure(figsize=(style.PAGE_WIDTH, rows * side * (1 + GAP + text) + 1.1))
    ax = figure.add_subplot()
    font = {"fontsize": min(6.0, 11 * side), "va": "bottom"}
    highest = float(maps.max()) or 1.0
    for place, channel in enumerate(channels.itertuples()):
        left, top = place % columns * (1 + GAP), place // columns * (1 + GAP + text) + text
        one = maps[channel.Index]
        low, high = (0.0, highest) if shared_scale else (float(one.min()), float(one.max()))
        _tile(ax, left, top, one, Normalize(low, high if high > low else low + 1), dead=channel.relu_max == 0)
        ax.text(left, top - 0.04, str(channel.Index), weight="bold", **font)
        ax.text(left + 1, top - 0.04, f"#{channel.order}", ha="right", color="#333333", **font)
    ax.set(xlim=(-0.02, columns * (1 + GAP) - GAP + 0.02), ylim=(rows * (1 + GAP + text) - GAP + 0.02, 0))
    ax.set_aspect("equal")
    ax.axis("off")
    ax.set_title(_title(data, maps.shape), loc="left", fontsize=style.SMALL)
    colours = ScalarMappable(Normalize(0, highest if shared_scale else 1), style.COLOURMAP)
    label = "mean activation, one scale for all maps" if shared_scale else "each map on its own scale"
    place = {"orientation": "horizontal", "shrink": 0.4, "aspect": 40, "pad": 0.01}
    bar = style.colour_bar(figure, ax, colours, label, **place)
    if not shared_scale:
        bar.set_ticks([0, 1], labels=["lowest of the map", "highest of the map"])
    return figure


def _tile(ax: Axes, left: float, top: float, one: np.ndarray, norm: Normalize, dead: bool) -> None:
    """Draw a map (M, N), or a crossed-out square where the channel is dead."""
    shown, extent = np.full_like(one, np.nan) if dead else one, (left, left + 1, top + 1, top)
    ax.imshow(shown, cmap=style.COLOURMAP, norm=norm, extent=extent, interpolation="nearest")
    # Lines before the last row and column of a map of odd size, see `_pooled`.
    height, width = one.shape
    if _pooled(height):
        ax.plot([left, left + 1], [top + 1 - 1 / height] * 2, color="white", lw=0.7)
    if _pooled(width):
        ax.plot([left + 1 - 1 / width] * 2, [top, top + 1], color="white", lw=0.7)
    if dead:
        for ends in ([top, top + 1], [top + 1, top]):
            ax.plot([left, left + 1], ends, color=DEAD_COLOUR, lw=0.8)
        ax.add_patch(Rectangle((left, top), 1, 1, fill=False, edgecolor=DEAD_COLOUR, linewidth=0.8, zorder=3))


def _pooled(size: int) -> bool:
    """Return whether pooling by two drops the last row or column. A single value is the map of a linear layer."""
    return size % 2 == 1 and size > 1


def _title(data: Data, shape: tuple[int, ...]) -> str:
    """Return the lines over maps (P, M, N) of this shape."""
    (count, height, width), dead = shape, int((data.table["relu_max"] == 0).sum())
    arranged = "pruning order, the first removed at the top left" if data.maps_order == "pruning" else "channel order"
    lines = [
        f"{style.where(data.table)}, seed {data.table['seed'].iloc[0]}, unpruned: mean map after ReLU of each of the "
        f"{count} channels ({height}×{width}), over all test {data.inputs}",
        f"tiles in {arranged}; bold: channel number",
        f"#n: {style.label(data.criteria[0])} removes n channels before this one, so it is removed for every K > n",
        f"crossed out: dead, {style.DEAD} ({dead} of {count})",
    ]
    if _pooled(height) or _pooled(width):
        lines.append("beyond the white lines: dropped by max pooling (odd map size), never seen by the next layer")
    return "\n".join(lines)
