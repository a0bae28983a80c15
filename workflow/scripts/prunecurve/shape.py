"""Why a curve looks as it does at large K: where a network stops telling pairs apart, and what metrics make of it.

Nine of ten pairs are different. A network that answers *different* to everything is right in 0.90, one that
answers *same* to everything in 0.10, and neither tells anything apart: balanced accuracy is 0.5 for both.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

# From this share of one answer on the answer counts as constant.
CONSTANT = 0.99
# A class is lost where less than this share of it is recognised.
LOST = 0.5
METRICS = ("accuracy", "balanced_accuracy", "auroc")
NETWORK = ["dataset", "seed", "layer", "criterion", "removal"]


def answers(predicted_same: pd.Series) -> np.ndarray:
    """What a network answers at each K: `same`, `different` (both: nearly always) or `mixed`."""
    return np.select([predicted_same >= CONSTANT, predicted_same <= 1 - CONSTANT], ["same", "different"], "mixed")


def flips(k: np.ndarray, predicted_same: np.ndarray) -> list[tuple[int, str]]:
    """The K at which the more frequent answer has changed, and what it is from there on."""
    same = predicted_same > 0.5
    return [(int(k[i]), "same" if same[i] else "different") for i in np.flatnonzero(same[1:] != same[:-1]) + 1]


def constant_runs(k: np.ndarray, answer: np.ndarray) -> list[tuple[int, int, str]]:
    """From which K to which a network gives one answer to (nearly) all pairs, and which."""
    starts = np.flatnonzero(np.append(True, answer[1:] != answer[:-1]))
    ends = np.append(starts[1:], len(answer)) - 1
    return [(int(k[i]), int(k[j]), str(answer[i])) for i, j in zip(starts, ends) if answer[i] != "mixed"]


def first_lost(lost_at: Mapping[str, float]) -> str:
    """The class with the smaller K, `both` where they are equal, `none` where neither has one."""
    same, different = (np.inf if np.isnan(lost_at[name]) else lost_at[name] for name in ("same", "different"))
    if same == different:
        return "none" if np.isinf(same) else "both"
    return "same" if same < different else "different"


def facts(curve: pd.DataFrame) -> dict[str, object]:
    """What happens along one network's curve, a row for each K in rising order.

    flips: how often the more frequent answer changes, flipped_at: where (`93 same, 110 different`). constant_at: from
    which K to which it gives one answer to (nearly) all pairs (`97-99 same`); ends: its answer at the largest K,
    constant_from: the K from which on it never leaves that answer. lost_first: the class whose recall is the first to
    fall below one half, with the K of both. gap_k: where AUROC exceeds balanced accuracy by most (pairs are still told
    apart, only the decision lies in the wrong place), with the values there and at the largest K.
    """
    k = curve["k"].to_numpy()
    changed = flips(k, curve["predicted_same_rate"].to_numpy())
    answer = answers(curve["predicted_same_rate"])
    runs = constant_runs(k, answer)
    lost = {name: k[(curve[f"recall_{name}"] < LOST).to_numpy()] for name in ("same", "different")}
    lost_at = {name: float(at[0]) if len(at) else np.nan for name, at in lost.items()}
    gap = int((curve["auroc"] - curve["balanced_accuracy"]).to_numpy().argmax())
    return {
        "flips": len(changed),
        "flipped_at": ", ".join(f"{at} {to}" for at, to in changed),
        "constant_at": ", ".join(f"{first}-{last} {what}" for first, last, what in runs),
        "ends": answer[-1],
        "constant_from": np.nan if answer[-1] == "mixed" else runs[-1][0],
        "lost_first": first_lost(lost_at),
        **{f"lost_{name}_at": at for name, at in lost_at.items()},
        "gap_k": int(k[gap]),
        **{f"gap_{metric}": curve[metric].iloc[gap] for metric in METRICS},
        **{f"last_{metric}": curve[metric].iloc[-1] for metric in METRICS},
    }


def table(curve: pd.DataFrame) -> pd.DataFrame:
    """A row of `facts` for each network, ranking and removal of a curve.csv."""
    return pd.DataFrame(
        dict(zip(NETWORK, names)) | facts(one.sort_values("k")) for names, one in curve.groupby(NETWORK, sort=False)
    )
