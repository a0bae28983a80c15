"""Metrics of single images.

On a tie of logits, the lowest class wins, as with argmax, for the top-5 accuracy too. A ratio whose denominator is 0 is
reported as 0.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from prunecurve.data.basic_metrics import counts_of, log_loss, predict, ratio
from prunecurve.data.metrics import auroc, auroc_bounds, log_loss_bounds, log_odds, ranked

SHARE = (0.0, 1.0)
METRICS = {
    **dict.fromkeys(("accuracy", "balanced_accuracy", "top_5_accuracy", "f1_macro"), SHARE),
    **{"mcc": (-1.0, 1.0), "auroc": SHARE, "log_loss": (0.0, np.inf), "most_frequent_share": SHARE},
}
CLASS_COUNTS = True
CONSTANT_ANSWER = ("always the largest class", "always the largest class")
SEVERAL = "several"
# With fewer than TOP_FROM classes, nearly every answer is among the first five.
TOP, TOP_FROM = 5, 6
# Scores of equal value that are computed in two ways differ by less than this.
ROUNDING = 1e-9


def measure(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return all metrics of logits (N, C) and labels (N,), in float64, in the order of the CSV columns.

    Balanced accuracy is the mean recall of the classes that have inputs, f1_macro the mean F1 of the classes that have
    inputs or answers, auroc the mean over the classes that have inputs of the area under the ROC curve of this class
    against the rest (scored by the log-odds). They are scikit-learn's definitions, and absent classes occur only
    outside of studies.
    """
    logits, classes = logits.astype(np.float64), logits.shape[1]
    true, correct, answered = counts_of(predict(logits), labels, classes)
    present, either, answer = np.flatnonzero(true), true + answered > 0, int(answered.argmax())
    scores = log_odds(logits)
    return {
        "accuracy": ratio(int(correct.sum()), len(labels)),
        "balanced_accuracy": float((correct[present] / true[present]).mean()),
        **({"top_5_accuracy": _top(logits, labels)} if classes >= TOP_FROM else {}),
        "f1_macro": float((2 * correct[either] / (true + answered)[either]).mean()),
        "mcc": _mcc(true, correct, answered),
        "auroc": ratio(sum(auroc(*ranked(scores[:, label], labels == label)) for label in present), len(present)),
        "log_loss": log_loss(logits, labels),
        "most_frequent_answer": answer,
        "most_frequent_share": ratio(int(answered[answer]), len(labels)),
        "constant_accuracy": ratio(int(true.max()), len(labels)),
        "constant_balanced_accuracy": 1 / len(present),
        **dict(zip(counts(classes), np.concatenate([correct, answered]).tolist(), strict=True)),
    }


def _top(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of inputs whose class has one of the five largest logits."""
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    before = (logits > own) | ((logits == own) & (np.arange(logits.shape[1]) < labels[:, None]))
    return ratio(int((before.sum(axis=1) < TOP).sum()), len(labels))


def _mcc(true: np.ndarray, correct: np.ndarray, answered: np.ndarray) -> float:
    """Return Matthews' correlation coefficient of C classes (Gorodkin 2004) from the counts (C,) of `counts_of`."""
    # Python's integers: products of four counts can exceed 64 bits.
    t, p = true.tolist(), answered.tolist()
    n, right = sum(t), int(correct.sum())
    spread_true, spread_answered = n * n - sum(x * x for x in t), n * n - sum(x * x for x in p)
    return ratio(right * n - sum(map(int.__mul__, t, p)), float(spread_true * spread_answered) ** 0.5)


def counts(classes: int) -> tuple[str, ...]:
    """Return the names of the columns that are exact counts: of each class, its right answers, and all answers."""
    return tuple(f"{kind}_{label}" for kind in ("correct", "predicted") for label in range(classes))


def bounds(
    by_sweep: np.ndarray, by_surgery: np.ndarray, labels: np.ndarray, rounding: float = 0.0
) -> dict[str, tuple[float, float]]:
    """Return the bounds of the metrics that rounding can change, see `Metrics.bounds`.

    Let m be the largest difference between the scores (log-odds) of the two networks, and twice the rounding. Each
    score can be m lower or higher.
    """
    swept, cut = _scores(by_sweep), _scores(by_surgery)
    m = np.abs(swept - cut).max(axis=0) + 2 * rounding + ROUNDING
    areas = np.array([auroc_bounds(cut[:, label], labels == label, m[label]) for label in np.unique(labels)])
    return {
        **({"top_5_accuracy": _top_bounds(by_sweep, by_surgery, labels, rounding)} if cut.shape[1] >= TOP_FROM else {}),
        "auroc": tuple(areas.mean(axis=0).tolist()),
        "log_loss": log_loss_bounds(cut[np.arange(len(labels)), labels], m[labels]),
    }


def _scores(logits: np.ndarray) -> np.ndarray:
    """Return the log-odds of each class (N, C): its logit minus the log-sum-exp of those before and after it."""
    wide, none = logits.astype(np.float64), np.full((len(logits), 1), -np.inf)
    before = np.logaddexp.accumulate(np.hstack([none, wide[:, :-1]]), axis=1)
    after = np.logaddexp.accumulate(np.hstack([none, wide[:, :0:-1]]), axis=1)[:, ::-1]
    return wide - np.logaddexp(before, after)


def _top_bounds(
    by_sweep: np.ndarray, by_surgery: np.ndarray, labels: np.ndarray, rounding: float
) -> tuple[float, float]:
    """Return the bounds of the top-5 accuracy: the order of two logits is certain only if they differ by more than 2 m.

    m is the largest difference between the logits of the two networks, and the rounding.
    """
    cut = by_surgery.astype(np.float64)
    m = float(np.abs(by_sweep.astype(np.float64) - cut).max()) + rounding
    ahead = cut - cut[np.arange(len(labels)), labels][:, None]
    # Of each input: the other classes that must, and that can, be before its own. Without m, ties go by class.
    must = (ahead > 2 * m).sum(axis=1)
    can = (ahead >= -2 * m).sum(axis=1) - 1
    return float((can < TOP).mean()), float((must < TOP).mean())


def constants(curve: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a constant answer: the share of the largest class, and one divided by the classes."""
    return {name: curve[name] for name in ("constant_accuracy", "constant_balanced_accuracy")}


def answers(curve: Mapping[str, Any], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the name of the most frequent answer in each row of a curve.csv, and its share of all answers."""
    labels = np.asarray(curve["most_frequent_answer"], np.int64)
    return np.asarray(names, object)[labels], np.asarray(curve["most_frequent_share"], np.float64)


def constant_answers(curve: Mapping[str, Any]) -> str:
    """Return a sentence: what accuracy and balanced accuracy give to a constant answer."""
    accuracy, balanced = (float(column.mean()) for column in constants(curve).values())
    return (
        f"A network that gives every image the same answer has balanced accuracy {balanced:.3f} "
        f"(one of {round(1 / balanced)} classes) and at most accuracy {accuracy:.3f} (the share of the largest class)."
    )


if TYPE_CHECKING:
    from prunecurve.data.tasks import Metrics
    from prunecurve.data.tasks.classes import metrics as module

    CHECKED: Metrics = module  # The type checker compares this module with the contract.
