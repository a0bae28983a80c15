"""Plans for all layers: what the smaller networks score over their MACs, as they are and repaired; what layers keep."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from prunecurve.errors import required
from prunecurve.figures import Data, style
from prunecurve.plan.text import METHODS, METRIC, PREDICTED, by_method, repair_of
from prunecurve.statistics.means import interval
from prunecurve.statistics.text import REPAIRS

PLAN, UNIFORM = style.COLOURS[:2]
# The random controls have the colour of their method, and are open.
COLOURS = {"plan": PLAN, "plan_random": PLAN, "uniform": UNIFORM, "uniform_random": UNIFORM}
MARKERS = {"plan": "o", "uniform": "s", "plan_random": "o", "uniform_random": "s"}


def draw(data: Data) -> Figure:
    """Return balanced accuracy over the share of the MACs on the left, and a row per layer on the right."""
    layers = required(data.layers, "figures: the layers of the plan are missing; give the script --layers")
    row = 0.1 + 0.06 * len(layers[["budget", "value"]].drop_duplicates())
    figure = Figure(figsize=(style.PAGE_WIDTH, max(3.6, 1.5 + row * layers["layer"].nunique())))
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    entries = _scores(left, data)
    _shares(right, layers)
    style.legend(figure, entries, _heading(data.table))
    return figure


def _heading(table: pd.DataFrame) -> str:
    """Return the lines over the figure."""
    seeds, draws = table["seed"].nunique(), int(table["draw"].max())
    criterion = style.label(table.loc[table["method"] == "plan", "criterion"].iloc[0])
    networks = style.networks_text(seeds)
    networks += ", mean and 95 % Student t interval" if seeds > 1 else ""
    ranges = " (layers: mean and range)" if seeds > 1 else ""
    orders = "one order" if draws == 1 else f"mean of {draws} orders"
    return (
        f"{table['dataset'].iloc[0]}, plans for all layers, order of {criterion}: {networks}{ranges}\n"
        f"random channels: {orders} per network; predicted: from single layers, on validation inputs"
    )


def _scores(ax: Axes, data: Data) -> list[Line2D]:
    """Draw a line per method and repair over the share of the MACs left; return the entries of the legend."""
    networks, repair = by_method(data.table), repair_of(data.table)
    looks = {name: {"ls": line, "alpha": alpha} for name, line, alpha in _lines_of(repair)}
    entries = [Line2D([], [], color=style.BLACK, **look, label=REPAIRS[name]) for name, look in looks.items()]
    for method, colour in COLOURS.items():
        face = "white" if method.endswith("_random") else colour
        look = {"color": colour, "marker": MARKERS[method], "mfc": face, "ms": 3.5, "mew": 0.8, "lw": 1}
        entries.append(Line2D([], [], **{**look, "ls": ""}, label=METHODS[method]))
        for name, own in looks.items():
            rows = networks[networks["repair"] == name].set_index("method")
            # The unpruned network is in the table for each budget, and has one mark.
            points = [_point(rows.loc[["unpruned"]].drop_duplicates("seed"))]
            points += sorted(
                (_point(each) for _, each in rows.loc[[method]].groupby(["budget", "value"])), reverse=True
            )
            shares, means, lows, highs = zip(*points)
            ax.plot(shares, means, **{**look, **own}, markevery=slice(1, None))
            ax.vlines(shares, lows, highs, color=colour, lw=0.8, alpha=own["alpha"])
    unpruned = networks[networks["method"] == "unpruned"].groupby("repair")
    for name, rows in unpruned:
        ax.plot(1, rows[METRIC].mean(), "D", color=style.BLACK, ms=3.5, mew=0, alpha=looks[name]["alpha"])
    entries.append(Line2D([], [], color=style.BLACK, marker="D", ls="", ms=3.5, label=METHODS["unpruned"]))
    predicted = networks[networks["method"].isin(["plan", "uniform"]) & (networks["repair"] == repair)]
    for _, rows in predicted.groupby(["method", "budget", "value"]):
        if rows[PREDICTED].notna().all():
            ax.plot(rows["macs_share"].mean(), max(rows[PREDICTED].mean(), 0), "v", color=style.GREY, ms=4, mew=0)
    entries.append(Line2D([], [], color=style.GREY, marker="v", ls="", ms=4, label="predicted"))
    constant, name = style.constant_answer(data.table, METRIC, data.task)
    entries.append(ax.axhline(constant, **style.CONSTANT_LOOK, label=name))
    ax.set(xlim=(0, 1.03), ylim=(-0.02, 1.02), xlabel="share of the MACs left")
    ax.set_ylabel(f"{style.label(METRIC)}, test {data.inputs}")
    return entries


def _lines_of(repair: str) -> list[tuple[str, object, float]]:
    """Return the repairs that are shown, with the line and the opacity of each."""
    if repair == "none":
        return [("none", "-", 1.0)]
    return [(repair, "-", 1.0), ("none", style.DASHES[1], 0.5)]


def _point(networks: pd.DataFrame) -> tuple[float, ...]:
    """Return the share of the MACs, and the mean score of some networks with its interval."""
    low, high = np.clip(interval(networks[METRIC]), 0, 1)
    return networks["macs_share"].mean(), networks[METRIC].mean(), low, high


def _shares(ax: Axes, layers: pd.DataFrame) -> None:
    """Draw a row per layer, the first on top: the share of its channels that stay, with the range over networks."""
    channels = layers.drop_duplicates("layer").set_index("layer")["channels"]
    rows = np.arange(len(channels))[::-1]
    budgets = list(layers[["budget", "value"]].drop_duplicates().itertuples(index=False, name=None))
    apart = 0.8 / max(2 * len(budgets), 4)
    for place, (budget, value) in enumerate(budgets):
        of_budget = layers[(layers["budget"] == budget) & (layers["value"] == value)]
        kept = (1 - of_budget["share_removed"]).groupby([of_budget["method"], of_budget["layer"]])
        kept = kept.agg(["mean", "min", "max"])
        fade = 1 - 0.7 * place / len(budgets)
        for number, method in enumerate(("plan", "uniform")):
            shares, shift = kept.loc[method].reindex(channels.index), apart * (len(budgets) - 2 * place - number - 0.5)
            ax.hlines(rows + shift, shares["min"], shares["max"], color=COLOURS[method], lw=1, alpha=fade)
            look = {"color": COLOURS[method], "ms": 3.2, "mew": 0, "alpha": fade}
            # The other legend says which colour and marker is which method.
            label = f"{budget} {value:g}" if method == "plan" else None
            ax.plot(shares["mean"], rows + shift, MARKERS[method], label=label, **look)
    ax.set_yticks(rows, [f"{layer} ({count})" for layer, count in channels.items()])
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.6, len(rows) - 0.4), xlabel="share of the layer’s channels kept")
    ax.grid(axis="y", color="#DDDDDD", lw=0.5)
    ax.set_axisbelow(True)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, title="budget (dark to light)", alignment="left")
