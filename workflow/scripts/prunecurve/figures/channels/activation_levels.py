"""The mean activation of the P channels, sorted, one line per network: how many are dead, how the others differ."""

import numpy as np
from matplotlib.figure import Figure

from prunecurve.figures import Data, style


def draw(data: Data) -> Figure:
    """Return the channels from the least active, which `mean_activation` removes first, to the most active."""
    figure = Figure(figsize=(style.PAGE_WIDTH, 3.2))
    ax = figure.subplots()
    for seed, look in style.line_looks(data.table["seed"].unique()).items():
        channels = data.table[data.table["seed"] == seed]
        levels = np.sort(channels["relu_mean"].to_numpy())
        dead = int((channels["relu_max"] == 0).sum())
        place = np.arange(1, len(levels) + 1)
        ax.plot(place, levels, label=f"seed {seed}: {dead} of {len(levels)} dead", **look)
        ax.plot(place[:dead], levels[:dead], "x", color=look["color"], ms=4, clip_on=False, label="_dead")
    ax.set(xlabel="channels, from the least to the most active", ylabel="mean activation after ReLU")
    ax.set(xlim=(1, max(len(levels), 2)), ylim=(0, None))
    ax.locator_params(axis="x", integer=True)
    crosses = "crosses: dead channels" if (data.table["relu_max"] == 0).any() else "dead"
    style.legend(figure, ax, f"{style.where(data.table)}, one line per network; {crosses}: {style.DEAD}")
    return figure
