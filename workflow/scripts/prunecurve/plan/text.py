"""The text of a plan: how many channels each layer keeps, what that costs, and whether it beats uniform ratios."""

import numpy as np
import pandas as pd

from prunecurve.data import tasks
from prunecurve.statistics.comparisons import difference
from prunecurve.statistics.means import interval
from prunecurve.statistics.summary_text import number, wrapped

# From this difference between shares of the MACs on, two smaller networks are not of equal size.
UNEQUAL = 0.02
METRIC, PREDICTED = "balanced_accuracy", "predicted_balanced_accuracy"
# The methods, in the order in which they are shown.
METHODS = {
    "unpruned": "unpruned network",
    "plan": "plan",
    "uniform": "uniform ratios",
    "plan_random": "plan, random channels",
    "uniform_random": "uniform, random channels",
}


def by_network(plan: pd.DataFrame) -> pd.DataFrame:
    """Return one row per method and seed of a plan.csv, in the order of METHODS: means over random orders."""
    columns = ["params_share", "macs_share", PREDICTED, METRIC]
    order = pd.Categorical(plan["method"], [name for name in METHODS if name in set(plan["method"])], ordered=True)
    rows = plan.assign(method=order).groupby(["method", "seed"], observed=True)[columns].mean().reset_index()
    return rows.astype({"method": str})


def spread(values: pd.Series, digits: int = 3, sign: str = "") -> str:
    """Return the mean over networks as text, with its interval if there are several; between 0 and 1 without a sign."""
    low, high = interval(values)
    if not sign:
        low, high = np.clip((low, high), 0, 1)
    return number({"mean": values.mean(), "low": low, "high": high}, digits, sign)


def plan_text(plan: pd.DataFrame, layers: pd.DataFrame, budget: str, value: float, task: str = tasks.DEFAULT) -> str:
    """Return the text about plan.csv and plan_layers.csv. budget, value: the key of the config and its value."""
    networks, first = by_network(plan), plan.iloc[0]
    seeds = networks["seed"].nunique()
    over = f"Means over {seeds} networks (seeds) [95 % Student t interval]." if seeds > 1 else "One network (seed)."
    criterion = plan.loc[plan["method"] == "plan", "criterion"].iloc[0]
    title = f"{first['dataset']}, a plan for all layers, plan.{budget}: {value:g}, order of {criterion}."
    blocks = [
        wrapped(f"{title} {over}"),
        f"Channels that each layer keeps\n{_layers(layers)}",
        f"Balanced accuracy on the test {tasks.load(task).INPUTS}\n{_methods(networks)}",
        "\n".join(map(wrapped, _sentences(networks))),
        wrapped(_constant(plan)),
    ]
    return "\n\n".join(blocks) + "\n"


def _layers(layers: pd.DataFrame) -> str:
    """Return one line per layer: P, and how many channels the networks keep, `5 to 7` if they differ."""
    lines = [("layer", "channels", "plan", "uniform")]
    for layer, rows in layers.groupby("layer", sort=False):
        kept = (rows["channels"] - rows["k"]).groupby(rows["method"])
        ends = [(kept.min()[method], kept.max()[method]) for method in ("plan", "uniform")]
        words = [f"{low}" if low == high else f"{low} to {high}" for low, high in ends]
        lines.append((layer, str(rows["channels"].iloc[0]), *words))
    return _aligned(lines)


def _methods(networks: pd.DataFrame) -> str:
    """Return one line per method: its shares of the MACs and parameters, its balanced accuracy and the prediction."""
    lines = [("", "MACs", "parameters", "measured", "predicted")]
    for method, rows in networks.groupby("method", sort=False):
        shares = [f"{rows[name].mean():.3f}" for name in ("macs_share", "params_share")]
        known = rows[PREDICTED].notna().all() and method != "unpruned"
        # A sum of losses can be larger than what there is to lose.
        predicted = spread(rows[PREDICTED].clip(0, 1)) if known else "-"
        lines.append((METHODS[method], *shares, spread(rows[METRIC]), predicted))
    return _aligned(lines)


def _aligned(lines: list[tuple[str, ...]]) -> str:
    """Return words in columns, the first to the left."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    rows = ([f"{line[0]:<{widths[0]}}", *(f"{w:>{n}}" for w, n in zip(line[1:], widths[1:]))] for line in lines)
    return "\n".join("  ".join(row).rstrip() for row in rows)


def _sentences(networks: pd.DataFrame) -> list[str]:
    """Return whether the plan is better than its controls, and how far the prediction is from the measurement."""
    values = networks.pivot(index="seed", columns="method", values=METRIC)
    predicted = networks.pivot(index="seed", columns="method", values=PREDICTED)["plan"].clip(0, 1)
    lines = [_compared(values["plan"] - values["uniform"], "The plan", "uniform ratios")]
    plan, uniform = networks.groupby("method")["macs_share"].mean()[["plan", "uniform"]]
    if abs(plan - uniform) >= UNEQUAL:
        more = "more" if uniform < plan else "fewer"
        lines.append(
            f"Uniform ratios remove {100 * abs(plan - uniform):.1f} percentage points {more} of the MACs than the "
            "plan, because a ratio is rounded to whole channels and to evaluated K; this is part of the difference."
        )
    if "plan_random" in values:
        lines.append(_compared(values["plan"] - values["plan_random"], "The plan", "random channels at the same K"))
    error = values["plan"] - predicted
    lines.append(
        f"Measured minus predicted balanced accuracy of the plan: {spread(error, sign='+')}. The prediction is the "
        "unpruned network's minus the losses in single layers on the validation inputs."
    )
    return lines


def _compared(differences: pd.Series, one: str, other: str) -> str:
    """Return a sentence about a paired difference of balanced accuracy, one value per network."""
    row = difference(differences)
    text = f"{one} minus {other}, on the same networks: {number(row, digits=3, sign='+')}"
    if row["seeds"] < 2:
        return f"{text}. One network cannot show whether a lead is more than chance."
    if row["low"] <= 0 <= row["high"] or np.isnan(row["low"]):
        return f"{text}: not a clear lead."
    return f"{text}: {'better' if row['mean'] > 0 else 'worse'}, the interval excludes zero."


def _constant(plan: pd.DataFrame) -> str:
    constant = plan["constant_balanced_accuracy"].mean() if "constant_balanced_accuracy" in plan else 0.5
    return f"A constant answer has balanced accuracy {constant:.3f}."
