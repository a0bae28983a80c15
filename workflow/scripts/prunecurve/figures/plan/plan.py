"""A plan for all layers: what the smaller networks score and what was predicted, and how much each layer keeps."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prunecurve.errors import required
from prunecurve.figures import Data, style
from prunecurve.plan.text import METHODS, METRIC, PREDICTED, by_method
from prunecurve.statistics.means import interval

PLAN, UNIFORM = style.COLOURS[:2]
# The random controls have the colour of their method, and are open.
COLOURS = {"unpruned": style.BLACK, "plan": PLAN, "plan_random": PLAN, "uniform": UNIFORM, "uniform_random": UNIFORM}


def draw(data: Data) -> Figure:
    """Return a row per method with a point per network, on the left, and a row per layer on the right."""
    layers = required(data.layers, "figures: the layers of the plan are missing; give the script --layers")
    figure = Figure(figsize=(style.PAGE_WIDTH, max(2.9, 1.1 + 0.16 * layers["layer"].nunique())))
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _scores(left, data)
    _shares(right, layers)
    for ax in (left, right):
        handles, labels = ax.get_legend_handles_labels()
        once = dict(zip(labels, handles))
        ax.legend(once.values(), once.keys(), loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    style.head(figure, _heading(data.table))
    return figure


def _heading(table: pd.DataFrame) -> str:
    """Return the lines over the figure."""
    seeds, draws = table["seed"].nunique(), int(table["draw"].max())
    criterion = style.label(table.loc[table["method"] == "plan", "criterion"].iloc[0])
    plan, uniform = 100 * table.groupby("method")["macs_share"].mean()[["plan", "uniform"]]
    networks = style.networks_text(seeds)
    networks += ", small points; large point and bar: mean and 95 % Student t interval" if seeds > 1 else ""
    layers = "; layers: mean and range over networks" if seeds > 1 else ""
    return (
        f"{table['dataset'].iloc[0]}, a plan for all layers, order of {criterion}: {networks}\n"
        f"MACs left: plan {plan:.1f} %, uniform ratios {uniform:.1f} %; "
        f"random channels: mean of {draws} orders per network{layers}"
    )


def _scores(ax: Axes, data: Data) -> None:
    """Draw a row per method: a point per network, the mean and its interval, and the prediction from single layers."""
    networks = by_method(data.table)
    methods = networks["method"].unique()[::-1]
    for row, method in enumerate(methods):
        rows, colour = networks[networks["method"] == method], COLOURS[method]
        values, face = rows[METRIC], "white" if method.endswith("_random") else colour
        if len(values) > 1:
            # Side by side, so that equal values are visible.
            ax.plot(values, row - 0.2 + np.linspace(-0.1, 0.1, len(values)), ".", color=colour, ms=4, alpha=0.5, mew=0)
        ax.hlines(row, *np.clip(interval(values), 0, 1), color=colour, lw=1)
        ax.plot(values.mean(), row, "o", color=colour, mfc=face, ms=4.5, mew=0.9)
        if method != "unpruned" and rows[PREDICTED].notna().all():
            predicted = max(rows[PREDICTED].mean(), 0)
            ax.plot(predicted, row + 0.25, "v", color=style.GREY, ms=4, label="predicted from single layers")
    constant, name = style.constant_answer(data.table, METRIC, data.task)
    ax.axvline(constant, **style.CONSTANT_LOOK, label=name)
    ax.set_yticks(range(len(methods)), [METHODS[name].replace(", ", ",\n") for name in methods])
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.5, len(methods) - 0.4), xlabel=f"{style.label(METRIC)}, test {data.inputs}")


def _shares(ax: Axes, layers: pd.DataFrame) -> None:
    """Draw a row per layer, the first on top: the share of its channels that stay, with the range over networks."""
    channels = layers.drop_duplicates("layer").set_index("layer")["channels"]
    rows = np.arange(len(channels))[::-1]
    kept = (1 - layers["share_removed"]).groupby([layers["method"], layers["layer"]]).agg(["mean", "min", "max"])
    for method, colour, shift, shape in (("plan", PLAN, 0.12, "o"), ("uniform", UNIFORM, -0.12, "s")):
        shares = kept.loc[method].reindex(channels.index)
        ax.hlines(rows + shift, shares["min"], shares["max"], color=colour, lw=1)
        ax.plot(shares["mean"], rows + shift, shape, color=colour, ms=3.5, label=METHODS[method])
    ax.set_yticks(rows, [f"{layer} ({count})" for layer, count in channels.items()])
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.6, len(rows) - 0.4), xlabel="share of the layer’s channels kept")
    ax.grid(axis="y", color="#DDDDDD", lw=0.5)
    ax.set_axisbelow(True)
