"""The text of plans: how many channels each layer keeps, what that costs, and whether a plan beats uniform ratios."""

import numpy as np
import pandas as pd

from prunecurve.data import tasks
from prunecurve.statistics.comparisons import difference
from prunecurve.statistics.means import interval
from prunecurve.statistics.text import REPAIRS, SHORT_REPAIRS, as_range, means_over, number
from prunecurve.text import text_table, wrapped

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


def by_method(plan: pd.DataFrame) -> pd.DataFrame:
    """Return one row per budget, repair, method and seed of a plan.csv, methods in the order of METHODS.

    Means over random orders.
    """
    columns = ["params_share", "macs_share", PREDICTED, METRIC]
    means = plan.groupby(["budget", "value", "repair", "method", "seed"], sort=False)[columns].mean().reset_index()
    place = means["method"].map(list(METHODS).index)
    return means.iloc[np.argsort(place, kind="stable")].reset_index(drop=True)


def repair_of(plan: pd.DataFrame) -> str:
    """Return the repair that the plans of a plan.csv were chosen for."""
    return next((repair for repair in plan["repair"].unique() if repair != "none"), "none")


def mean_text(values: pd.Series, sign: str = "") -> str:
    """Return the mean over networks as text, with its interval if there are several; between 0 and 1 without a sign."""
    low, high = interval(values)
    if not sign:
        low, high = np.clip((low, high), 0, 1)
    return number({"mean": values.mean(), "low": low, "high": high}, digits=3, sign=sign)


def plan_text(plan: pd.DataFrame, layers: pd.DataFrame, task: str = tasks.DEFAULT) -> str:
    """Return the text about plan.csv and plan_layers.csv."""
    networks, repair = by_method(plan), repair_of(plan)
    dataset, criterion = plan.loc[plan["method"] == "plan", ["dataset", "criterion"]].iloc[0]
    # A table without it is of the task `pairs`.
    constant = plan["constant_balanced_accuracy"].mean() if "constant_balanced_accuracy" in plan else 0.5
    title = f"{dataset}, plans for all layers, order of {criterion}, for networks with repair: {REPAIRS[repair]}."
    blocks = [wrapped(f"{title} {means_over(networks['seed'].nunique())}")]
    for (budget, value), rows in networks.groupby(["budget", "value"], sort=False):
        of_budget = layers[(layers["budget"] == budget) & (layers["value"] == value)]
        blocks += [
            f"plan.{budget}: {value:g}, channels that each layer keeps\n{_layers(of_budget)}",
            f"plan.{budget}: {value:g}, balanced accuracy on the test {tasks.inputs_of(task).INPUTS}\n"
            f"{_methods(rows, repair)}",
            "\n".join(map(wrapped, _sentences(rows[rows["repair"] == repair]))),
        ]
    return "\n\n".join([*blocks, f"A constant answer has balanced accuracy {constant:.3f}."]) + "\n"


def _layers(layers: pd.DataFrame) -> str:
    """Return one line per layer: P, and how many channels the networks keep, `5 to 7` if they differ."""
    kept = layers.assign(kept=layers["channels"] - layers["k"]).pivot_table(
        index=["layer", "channels"], columns="method", values="kept", aggfunc=as_range, sort=False
    )
    lines = kept[["plan", "uniform"]].reset_index().astype(str).to_numpy().tolist()
    return text_table([["layer", "channels", "plan", "uniform"], *lines], ["left", "right"])


def _methods(networks: pd.DataFrame, repair: str) -> str:
    """Return one line per method: its shares of the MACs and parameters, its balanced accuracy and the prediction."""
    repairs = list(dict.fromkeys(["none", repair]))
    lines = [["", "MACs", "parameters", *(SHORT_REPAIRS[each] for each in repairs), "predicted"]]
    for method, rows in networks.groupby("method", sort=False):
        shares = [f"{rows[name].mean():.3f}" for name in ("macs_share", "params_share")]
        measured = [rows[rows["repair"] == each] for each in repairs]
        has_prediction = measured[-1][PREDICTED].notna().all() and method != "unpruned"
        # A sum of losses can be larger than what there is to lose.
        predicted = mean_text(measured[-1][PREDICTED].clip(0, 1)) if has_prediction else "-"
        lines.append([METHODS[method], *shares, *(mean_text(each[METRIC]) for each in measured), predicted])
    return text_table(lines, ["left", "right"])


def _sentences(networks: pd.DataFrame) -> list[str]:
    """Return whether the plan is better than its controls, and how far the prediction is from the measurement.

    networks: rows of `by_method` of one budget, with the repair.
    """
    values = networks.pivot(index="seed", columns="method", values=METRIC)
    predicted = networks.pivot(index="seed", columns="method", values=PREDICTED)["plan"].clip(0, 1)
    lines = [
        _compared(values["plan"] - values["unpruned"], "the unpruned network"),
        _compared(values["plan"] - values["uniform"], "uniform ratios"),
    ]
    plan, uniform = networks.groupby("method")["macs_share"].mean()[["plan", "uniform"]]
    if abs(plan - uniform) >= UNEQUAL:
        more = "more" if uniform < plan else "fewer"
        lines.append(
            f"Uniform ratios remove {100 * abs(plan - uniform):.1f} percentage points {more} of the MACs than the "
            "plan, because a ratio is rounded to whole channels and to evaluated K; this is part of the difference."
        )
    if "plan_random" in values:
        lines.append(_compared(values["plan"] - values["plan_random"], "random channels at the same K"))
    error = values["plan"] - predicted
    lines.append(
        f"Measured minus predicted balanced accuracy of the plan: {mean_text(error, sign='+')}. The prediction is the "
        "unpruned network's minus the losses in single layers on the validation inputs."
    )
    return lines


def _compared(lead: pd.Series, other: str) -> str:
    """Return a sentence about a paired difference of balanced accuracy, one value per network."""
    row = difference(lead)
    text = f"The plan minus {other}, on the same networks: {number(row, digits=3, sign='+')}"
    if row["seeds"] < 2:
        return f"{text}. One network cannot show whether a lead is more than chance."
    if row["low"] <= 0 <= row["high"]:
        return f"{text}: not a clear lead."
    return f"{text}: {'better' if row['mean'] > 0 else 'worse'}, the interval excludes zero."
