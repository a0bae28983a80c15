"""What the loss of each criterion consists of: what each repair regains, and what is left."""

import itertools

import pandas as pd

from prunecurve.naming import shortened
from prunecurve.statistics.comparisons import LEVEL
from prunecurve.statistics.means import by_network, over_networks
from prunecurve.statistics.text import REPAIRS, number
from prunecurve.text import text_table, wrapped

METRIC = "balanced_accuracy"
# Each one fits what the one before it fits, and more; a refit alone is not between the others.
STAGES = ("none", "bias", "refit_bias")
# The columns of the table, and what is above each.
PARTS = {
    "total": ("total loss", ""),
    "decision": ("decision:", "biases fitted"),
    "features": ("features:", "readers refitted"),
    "repaired": ("regained", "by the repair"),
    "left": ("left", ""),
}
# A longer name of a criterion is cut.
NAME_WIDTH = 24
TITLE = "What the loss of each criterion consists of (structural removal)"


def losses(curve: pd.DataFrame) -> pd.DataFrame:
    """Return one row per criterion of a curve.csv, the smallest loss first: the parts of its loss, over networks.

    The loss is a difference of areas under balanced accuracy: `total` is U − A of structural removal without repair,
    where U is the unpruned network, with its biases fitted if a repair fits them. `decision` is what fitted biases
    regain, `features` what refitted readers regain beyond that, `repaired` both or either, if the study does not tell
    them apart; `left` is the rest. Each has NAME_mean, NAME_low and NAME_high (95 % Student t). Without rows, unless
    the study has structural removal with none and with another repair.
    """
    curve = curve[curve["removal"] == "structural"]
    repairs = set(curve["repair"])
    stages = [stage for stage in STAGES if stage in repairs]
    if stages == ["none"] and "refit" in repairs:
        stages.append("refit")
    if len(stages) < 2 or stages[0] != "none":
        return pd.DataFrame()
    values = [f"{METRIC}_area", f"control_{METRIC}"]
    wide = by_network(curve).pivot(index=["criterion", "seed"], columns="repair", values=values)
    area, unpruned = wide[f"{METRIC}_area"], wide[f"control_{METRIC}", stages[-1]]
    parts = {"total": unpruned - area["none"]}
    for before, after in itertools.pairwise(stages):
        name = "decision" if after == "bias" else "features" if before == "bias" else "repaired"
        parts[name] = area[after] - area[before]
    parts["left"] = unpruned - area[stages[-1]]
    rows = pd.DataFrame(parts).reset_index()
    return (
        over_networks(rows, ["criterion"], dict.fromkeys(parts, (-1, 1)))
        .sort_values("total_mean", kind="stable")
        .reset_index()
    )


def losses_text(curve: pd.DataFrame, minus_random: pd.DataFrame) -> str:
    """Return `losses` as a table, and per repair whether any criterion beats random; empty without rows.

    minus_random: the rows of `comparisons.paired` about the area under balanced accuracy and random.
    """
    table = losses(curve)
    if table.empty:
        return ""
    parts = [name for name in PARTS if f"{name}_mean" in table]
    points = table.set_index("criterion") * 100
    lines = [("criterion", *(PARTS[name][0] for name in parts)), ("", *(PARTS[name][1] for name in parts))]
    for criterion, row in points.iterrows():
        numbers = (number(row, 1, prefix=f"{name}_") for name in parts)
        lines.append((shortened(str(criterion), NAME_WIDTH), *numbers))
    fitted = " with its biases fitted" if any("bias" in repair for repair in set(curve["repair"])) else ""
    notes = [
        f"total loss: balanced accuracy of the unpruned network{fitted}, minus the criterion's area as it is; in "
        "percentage points."
    ]
    if "features" in parts:
        notes.append("decision: what fitted biases regain; features: what refitted readers regain beyond that.")
    structural = minus_random[minus_random["removal"] == "structural"].groupby("repair", sort=False)
    sentences = [_against_random(repair, rows) for repair, rows in structural]
    return "\n".join([TITLE, text_table(lines, ["left"]), *map(wrapped, [*notes, *sentences])])


def _against_random(repair: str, rows: pd.DataFrame) -> str:
    """Return whether any criterion beats random with a repair. rows: as for `losses_text`, of this repair."""
    name, best = REPAIRS[repair].capitalize(), rows.loc[rows["mean"].idxmax()]
    largest = f"{best['criterion']} {number(best, digits=3, sign='+')}"
    if best["seeds"] < 2:
        return f"{name}: one network cannot show whether a criterion beats random (largest difference: {largest})."
    better = int(((rows["p_holm"] < LEVEL) & (rows["mean"] > 0)).sum())
    count = f"{better} of {len(rows)} criteria beat" if better else "no criterion beats"
    return f"{name}: {count} random after Holm's correction (largest difference: {largest})."
