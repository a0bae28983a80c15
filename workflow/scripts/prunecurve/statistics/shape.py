"""Why a curve looks as it does at large K: where a network gives one answer to every input, and how metrics react.

In the task `pairs`, nine of ten pairs are different. A network that answers *different* to every pair has an accuracy
of 0.90, one that answers *same* to every pair 0.10, and neither distinguishes any pairs: balanced accuracy is 0.5 for
both. In the task `classes` with C classes, balanced accuracy is 1/C for every constant answer.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from prunecurve.data import tasks

# An answer counts as constant if at least this share of the inputs gets it.
CONSTANT = 0.99
# Of two answers, the more frequent one has at least this share of all answers.
MAJORITY = 0.5
# A class counts as lost where its recall is below.
LOST = 0.5
METRICS = ("accuracy", "balanced_accuracy", "auroc")
NETWORK = ["dataset", "seed", "layer", "criterion", "removal"]
# The same within one study.
IN_STUDY = ["seed", "criterion", "removal"]
# What a network ends with that does not give a constant answer.
MIXED = "mixed"


def with_answers(curve: pd.DataFrame, task: str = tasks.DEFAULT, names: Sequence[str] = ()) -> pd.DataFrame:
    """Return the curve with the columns `answer`, the most frequent answer of each row, and `share`, its share.

    names: of the classes. They are not needed for rows that have the column `answer` already.
    """
    if "share" in curve:
        return curve
    if "answer" in curve:
        return curve.assign(share=curve["most_frequent_share"])
    answer, share = tasks.load(task).answers(curve, names)
    return curve.assign(answer=answer, share=share)


def constant(curve: pd.DataFrame) -> np.ndarray:
    """Return whether a network gives a constant answer (CONSTANT), for each row of `with_answers`."""
    return curve["share"].to_numpy() >= CONSTANT


def flips(k: np.ndarray, answer: np.ndarray) -> list[tuple[int, str]]:
    """Return the K at which the answer changes, and the new answer."""
    return [(int(k[i]), str(answer[i])) for i in np.flatnonzero(answer[1:] != answer[:-1]) + 1]


def constant_runs(k: np.ndarray, answer: np.ndarray, constant: np.ndarray) -> list[tuple[int, int, str]]:
    """Return the ranges of K, first and last, with a constant answer, and that answer."""
    changes = (answer[1:] != answer[:-1]) | (constant[1:] != constant[:-1])
    starts = np.flatnonzero(np.append(True, changes))
    ends = np.append(starts[1:], len(answer)) - 1
    return [(int(k[i]), int(k[j]), str(answer[i])) for i, j in zip(starts, ends) if constant[i]]


def lost_at(recalls: pd.DataFrame) -> pd.DataFrame:
    """Return the first K at which the recall of each class is below LOST: one row per network, ranking and removal.

    recalls: columns seed, criterion, removal, k, name (of the class) and recall. The result has a column per class, NaN
    where its recall is never below.
    """
    keys, order = [*IN_STUDY, "name"], recalls["name"].unique()
    below = recalls[recalls["recall"] < LOST].groupby(keys, sort=False)["k"].min().unstack("name")
    every = pd.MultiIndex.from_frame(recalls[IN_STUDY].drop_duplicates())
    return below.reindex(index=every, columns=order)


def _named_recalls(curve: pd.DataFrame, task: str) -> pd.DataFrame | None:
    """Return the recalls that are columns of curve.csv, as for `lost_at`; None for a task without them."""
    columns = {f"recall_{name}": name for name in tasks.load(task).RECALLS}
    if not columns:
        return None
    rows = curve[[*IN_STUDY, "k", *columns]].rename(columns=columns)
    return rows.melt([*IN_STUDY, "k"], var_name="name", value_name="recall")


def _answers(curve: pd.DataFrame) -> dict[str, object]:
    """Return how the answers of one network change; curve: rows of `with_answers` in ascending order of K.

    flips: how often the answer of the majority changes; flipped_at: where (`93 same, 110 different`). With more than
    two classes, a K without an answer of the majority is left out. constant_at: the ranges of K with a constant answer
    (`97-99 same`); ends: the answer at the largest K; constant_from: the K from which the answer stays constant up to
    the largest K.
    """
    k, answer, is_constant = curve["k"].to_numpy(), curve["answer"].to_numpy(), constant(curve)
    majority = curve["share"].to_numpy() >= MAJORITY
    changes, runs = flips(k[majority], answer[majority]), constant_runs(k, answer, is_constant)
    return {
        "flips": len(changes),
        "flipped_at": ", ".join(f"{at} {to}" for at, to in changes),
        "constant_at": ", ".join(f"{first}-{last} {what}" for first, last, what in runs),
        "ends": answer[-1] if is_constant[-1] else MIXED,
        "constant_from": runs[-1][0] if is_constant[-1] else np.nan,
    }


def _lost(lost: Mapping[str, float], named: bool, several: str) -> dict[str, object]:
    """Return the class whose recall is the first to fall below LOST, and the K of each class or, if not `named`, its K.

    lost: a row of `lost_at`. lost_first is `several` where several classes are lost at once, `none` where none is.
    classes_lost: the number of classes whose recall falls below LOST at some K.
    """
    below = {name: at for name, at in lost.items() if not np.isnan(at)}
    earliest = min(below.values(), default=np.nan)
    first = [name for name, at in below.items() if at == earliest]
    row = {"lost_first": first[0] if len(first) == 1 else several if first else "none"}
    if named:
        return row | {f"lost_{name}_at": at for name, at in lost.items()}
    return row | {"lost_first_at": earliest, "classes_lost": len(below)}


def _metrics(curve: pd.DataFrame) -> dict[str, object]:
    """Return where AUROC exceeds balanced accuracy most, `gap_k`, with the metrics there and at the largest K.

    There, the scores still order the inputs, but the threshold is off.
    """
    gap = int((curve["auroc"] - curve["balanced_accuracy"]).to_numpy().argmax())
    return {
        "gap_k": int(curve["k"].iloc[gap]),
        **{f"gap_{metric}": curve[metric].iloc[gap] for metric in METRICS},
        **{f"last_{metric}": curve[metric].iloc[-1] for metric in METRICS},
    }


def shape_table(
    curve: pd.DataFrame, task: str = tasks.DEFAULT, names: Sequence[str] = (), recalls: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return one row per network, ranking and removal of a curve.csv: its answers, the class lost first, its metrics.

    names: of the classes. recalls: as for `lost_at`, if the task has recalls that are not in the curve. Without them,
    the columns about lost classes are missing.
    """
    curve, named = with_answers(curve, task, names), bool(tasks.load(task).RECALLS)
    recalls = _named_recalls(curve, task) if recalls is None else recalls
    lost = None if recalls is None else lost_at(recalls)
    rows = []
    for network, one in curve.groupby(NETWORK, sort=False):
        one, row = one.sort_values("k"), dict(zip(NETWORK, network))
        row |= _answers(one)
        if lost is not None:
            row |= _lost(lost.loc[tuple(row[key] for key in IN_STUDY)].to_dict(), named, tasks.load(task).SEVERAL)
        rows.append(row | _metrics(one))
    return pd.DataFrame(rows)
