"""A plan for all layers: what the smaller networks score, beside the prediction, and which layers lose how much."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prunecurve.figures import Data, style
from prunecurve.plan.text import METHODS, METRIC, PREDICTED, by_method
from prunecurve.statistics.means import interval

PLAN, UNIFORM = style.COLOURS[:2]
# The random controls have the colour of their method, and are open.
COLOURS = {"unpruned": style.BLACK, "plan": PLAN, "plan_random": PLAN, "uniform": UNIFORM, "uniform_random": UNIFORM}


def draw(data: Data) -> Figure:
    """On the left a row per method, with a point per network; on the right a row per layer, as in the network."""
    layers = data.layers
    names = list(layers["layer"].unique())
    figure = Figure(figsize=(style.PAGE_WIDTH, max(2.9, 1.1 + 0.16 * len(names))))
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _scores(left, data)
    _shares(right, layers, names)
    style.head(figure, _heading(data.table))
    return figure


def _heading(table: pd.DataFrame) -> str:
    seeds = table["seed"].nunique()
    criterion = style.label(table.loc[table["method"] == "plan", "criterion"].iloc[0])
    shares = table.groupby("method")["macs_share"].mean()
    draws = int(table["draw"].max())
    over = (
        f"{seeds} networks (seeds), small points; large point and bar: mean and 95 % Student t interval"
        if seeds > 1
        else "one network (seed)"
    )
    return (
        f"{table['dataset'].iloc[0]}, a plan for all layers, order of {criterion}: {over}\n"
        f"MACs left: plan {shares['plan']:.1%}, uniform ratios {shares['uniform']:.1%}; "
        f"random channels: mean of {draws} orders per network"
        + ("; layers: mean and range over networks" if seeds > 1 else "")
    )


def _scores(ax: Axes, data: Data) -> None:
    """A row per method: a point per network, the mean and its interval, and the prediction from single layers."""
    networks = by_method(data.table)
    methods = [name for name in METHODS if name in set(networks["method"])]
    for row, method in enumerate(reversed(methods)):
        rows, colour = networks[networks["method"] == method], COLOURS[method]
        face = {"markerfacecolor": "white"} if method.endswith("_random") else {}
        values = rows[METRIC]
        if len(values) > 1:
            ax.plot(values, _spread(row, len(values)), ".", color=colour, ms=4, alpha=0.5, mew=0)
        ax.hlines(row, *np.clip(interval(values), 0, 1), color=colour, lw=1)
        ax.plot(values.mean(), row, "o", color=colour, ms=4.5, mew=0.9, **face)
        if method != "unpruned" and rows[PREDICTED].notna().all():
            predicted = max(rows[PREDICTED].mean(), 0)
            ax.plot(predicted, row + 0.25, "v", color=style.GREY, ms=4, label="predicted from single layers")
    name = style.constant_name(METRIC, data.task)
    constant = style.constant_score(data.table, METRIC)
    ax.axvline(constant, color="#AAAAAA", lw=0.8, ls=(0, (8, 4)), zorder=0, label=name)
    ax.set_yticks(range(len(methods)), [METHODS[name].replace(", ", ",\n") for name in reversed(methods)])
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.5, len(methods) - 0.4), xlabel=f"{style.label(METRIC)}, test {data.inputs}")
    _legend(ax)


def _spread(row: int, count: int) -> np.ndarray:
    """Places of several points in one row, so that equal values are visible."""
    return row - 0.2 + 0.1 * np.linspace(-1, 1, count) * (count > 1)


def _legend(ax: Axes) -> None:
    handles, labels = ax.get_legend_handles_labels()
    once = dict(zip(labels, handles))
    ax.legend(once.values(), once.keys(), loc="lower left", bbox_to_anchor=(0, 1), ncols=2)


def _shares(ax: Axes, layers: pd.DataFrame, names: list[str]) -> None:
    """A row per layer, the first on top: the share of its channels that stay, with the range over networks."""
    kept = layers.assign(kept=1 - layers["share_removed"])
    for method, colour, shift, shape in (("plan", PLAN, 0.12, "o"), ("uniform", UNIFORM, -0.12, "s")):
        of_layer = kept[kept["method"] == method].groupby("layer")["kept"]
        rows = np.arange(len(names))[::-1] + shift
        mean, low, high = (each.reindex(names).to_numpy() for each in (of_layer.mean(), of_layer.min(), of_layer.max()))
        ax.hlines(rows, low, high, color=colour, lw=1)
        ax.plot(mean, rows, shape, color=colour, ms=3.5, label=METHODS[method])
    channels = layers.drop_duplicates("layer")["channels"]
    ax.set_yticks(range(len(names)), [f"{n} ({p})" for n, p in zip(names, channels)][::-1])
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.6, len(names) - 0.4), xlabel="share of the layer’s channels kept")
    ax.grid(axis="y", color="#DDDDDD", lw=0.5)
    ax.set_axisbelow(True)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
