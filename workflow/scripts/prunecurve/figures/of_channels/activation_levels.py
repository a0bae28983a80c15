"""The mean activation of the P channels, sorted, a line a network: how many channels are dead, how unequal the rest."""

import numpy as np
from matplotlib.figure import Figure

from prunecurve.figures import Data, style


def draw(data: Data) -> Figure:
    """The figure; channels go from the least active (the first that `mean_activation` removes) to the most."""
    figure, (ax,) = style.panels(1, columns=1, height=3.0)
    seeds = list(data.table["seed"].unique())
    looks = style.line_styles(tuple(map(str, seeds)))
    for seed in seeds:
        channels = data.table[data.table["seed"] == seed]
        levels = np.sort(channels["relu_mean"].to_numpy())
        dead = int((channels["relu_max"] == 0).sum())
        place = np.arange(1, len(levels) + 1)
        ax.plot(place, levels, label=f"seed {seed}: {dead} of {len(levels)} channels dead", **looks[str(seed)])
        if dead:
            ax.plot(place[:dead], levels[:dead], "x", color=looks[str(seed)]["color"], ms=4, clip_on=False)
    ax.set(
        xlabel="channels, from the least to the most active",
        ylabel="mean activation after ReLU",
        xlim=(1, len(levels)),
    )
    ax.set_ylim(bottom=0)
    ax.legend(loc="upper left", title=style.where(data.table), alignment="left", title_fontsize=7)
    return figure
