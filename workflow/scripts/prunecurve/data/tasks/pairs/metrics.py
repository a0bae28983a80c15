"""Metrics of pairs.

A pair is predicted *same* if its second logit is larger than its first; on a tie the prediction is *different*, as with
argmax. A ratio whose denominator is 0 is reported as 0, as is scikit-learn's default.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from prunecurve.data.basic_metrics import counts_of, log_loss, predict, ratio
from prunecurve.data.metrics import auroc, auroc_bounds, average_precision, log_loss_bounds, ranked, rounded_order

SHARE = (0.0, 1.0)
METRICS = {
    **dict.fromkeys(("accuracy", "balanced_accuracy", "recall_same", "recall_different"), SHARE),
    **{"precision_same": SHARE, "f1_same": SHARE, "mcc": (-1.0, 1.0), "auroc": SHARE, "average_precision": SHARE},
    **{"log_loss": (0.0, np.inf), "predicted_same_rate": SHARE},
}
CLASS_COUNTS = False
CONSTANT_ANSWER = ("always answering different", "always “different”")
SEVERAL = "both"
COUNTS = ("tp", "fp", "tn", "fn")


def confusion(predicted: np.ndarray, labels: np.ndarray) -> dict[str, int]:
    """Return the counts tp, fp, tn, fn of predictions and labels (N,), boolean or 0/1."""
    _, correct, answered = counts_of(predicted, labels, 2)
    (tn, tp), (fn, fp) = correct.tolist(), (answered - correct).tolist()
    return {"tp": tp, "fp": fp, "tn": tn, "fn": fn}


def measure(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return all metrics of logits (N, 2) and labels (N,), in float64, in the order of the CSV columns."""
    logits = logits.astype(np.float64)
    counts = confusion(predict(logits), labels)
    tp, fp, tn, fn = counts.values()
    recall_same, recall_different = ratio(tp, tp + fn), ratio(tn, tn + fp)
    above, hits = ranked(logits[:, 1] - logits[:, 0], labels)
    return {
        "accuracy": ratio(tp + tn, len(labels)),
        "balanced_accuracy": (recall_same + recall_different) / 2,
        "recall_same": recall_same,
        "recall_different": recall_different,
        "precision_same": ratio(tp, tp + fp),
        "f1_same": ratio(2 * tp, 2 * tp + fp + fn),
        "mcc": ratio(tp * tn - fp * fn, float((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5),
        "auroc": auroc(above, hits),
        "average_precision": average_precision(above, hits),
        "log_loss": log_loss(logits, labels),
        "predicted_same_rate": ratio(tp + fp, len(labels)),
        **counts,
    }


def counts(classes: int = 2) -> tuple[str, ...]:
    """Return the names of the columns that are exact counts."""
    return COUNTS


def bounds(
    by_sweep: np.ndarray, by_surgery: np.ndarray, labels: np.ndarray, rounding: float = 0.0
) -> dict[str, tuple[float, float]]:
    """Return the bounds of the metrics that rounding can change, see `Metrics.bounds`.

    Let m be the largest difference between the scores (second minus first logit) of the two networks, and twice the
    rounding. Each score can be m lower or higher.
    """
    swept, cut = (logits.astype(np.float64) @ (-1.0, 1.0) for logits in (by_sweep, by_surgery))
    m, same = float(np.abs(swept - cut).max()) + 2 * rounding, labels == 1
    loss = log_loss_bounds(np.where(same, cut, -cut), m)
    if same.all() or not same.any():
        return {"auroc": (0.0, 0.0), "average_precision": (0.0, 1.0), "log_loss": loss}
    most, least, beside = rounded_order(cut, same, m)
    # In the order of the scores: the same pairs up to this one, and those that rounding can put next to it too.
    place = np.arange(1, len(most) + 1)
    return {
        "auroc": auroc_bounds(cut, same, m),
        "average_precision": (float((place / (place + most)).mean()), float((beside / (beside + least)).mean())),
        "log_loss": loss,
    }


def constants(curve: Mapping[str, Any]) -> dict[str, Any]:
    """Return the accuracy of a network that answers *different* to every pair: the share of truly different pairs."""
    different = curve["tn"] + curve["fp"]
    return {"constant_accuracy": different / (different + curve["tp"] + curve["fn"])}


def answers(curve: Mapping[str, Any], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the more frequent answer in each row of a curve.csv, as text, and its share of all answers."""
    same = np.asarray(curve["predicted_same_rate"], np.float64)
    return np.where(same > 0.5, "same", "different"), np.where(same > 0.5, same, 1 - same)


def constant_answers(curve: Mapping[str, Any]) -> str:
    """Return a sentence: what accuracy and balanced accuracy give to a constant answer."""
    constant = float(constants(curve)["constant_accuracy"].mean())
    return (
        f"A network that answers “different” to every pair has accuracy {constant:.2f}, one that answers “same” "
        f"{1 - constant:.2f}; both have balanced accuracy 0.50."
    )


if TYPE_CHECKING:
    from prunecurve.data.tasks import Metrics
    from prunecurve.data.tasks.pairs import metrics as module

    CHECKED: Metrics = module  # The type checker compares this module with the contract.
