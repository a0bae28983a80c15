"""What an evaluation reports of logits and labels. Numpy alone: every evaluation job imports this.

The positive class is *same* (label 1). A pair is predicted *same* if its second logit is the larger
one; on a tie it is *different*, as argmax has it. Quantities without a denominator are 0, as in
scikit-learn's default.
"""

import numpy as np


def confusion(predicted: np.ndarray, labels: np.ndarray) -> dict[str, int]:
    """Counts tp, fp, tn, fn of boolean or 0/1 predictions and labels (n,)."""
    predicted, labels = predicted.astype(bool), labels.astype(bool)
    return {
        "tp": int(np.sum(predicted & labels)),
        "fp": int(np.sum(predicted & ~labels)),
        "tn": int(np.sum(~predicted & ~labels)),
        "fn": int(np.sum(~predicted & labels)),
    }


def predict(logits: np.ndarray) -> np.ndarray:
    """Boolean predictions of *same* (n,) from logits (n, 2)."""
    return logits[:, 1] > logits[:, 0]


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else 0.0


def ranked(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At each threshold, from the highest score down: how many pairs lie above it, and how many of them are same.

    A threshold stands after the last of each group of equal scores, so the order within a group is no matter.
    """
    order = np.argsort(-scores)
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    return last + 1, np.cumsum(labels[order].astype(np.int64))[last]


def auroc(above: np.ndarray, hits: np.ndarray) -> float:
    """Area under the ROC curve, of `ranked`: the share of (same, different) couples in the right order, ties half."""
    misses = above - hits
    # Each group's different pairs lie below the same pairs above the group, and tie with those in it.
    couples = np.diff(misses, prepend=0) * (hits + np.append(0, hits[:-1]))
    return _ratio(float(couples.sum()) / 2, float(hits[-1]) * float(misses[-1]))


def average_precision(above: np.ndarray, hits: np.ndarray) -> float:
    """Σ over thresholds, of `ranked`, of (recall gained) × precision, not interpolated, as scikit-learn defines it."""
    return _ratio(float(np.sum(np.diff(hits, prepend=0) * (hits / above))), float(hits[-1]))


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross-entropy in nats of logits (n, 2)."""
    margin = (logits[:, 1] - logits[:, 0]) * np.where(labels.astype(bool), -1.0, 1.0)
    # A network that diverged has a loss that is no number: its caller's business, no warning.
    with np.errstate(invalid="ignore"):
        return float(np.mean(np.logaddexp(0.0, margin)))


def measure(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """All metrics of logits (n, 2) against labels (n,), computed in float64, in the order of the CSV's columns."""
    logits = logits.astype(np.float64)
    predicted = predict(logits)
    counts = confusion(predicted, labels)
    tp, fp, tn, fn = counts.values()
    recall_same, recall_different = _ratio(tp, tp + fn), _ratio(tn, tn + fp)
    above, hits = ranked(logits[:, 1] - logits[:, 0], labels)
    return {
        "accuracy": _ratio(tp + tn, len(labels)),
        "balanced_accuracy": (recall_same + recall_different) / 2,
        "recall_same": recall_same,
        "recall_different": recall_different,
        "precision_same": _ratio(tp, tp + fp),
        "f1_same": _ratio(2 * tp, 2 * tp + fp + fn),
        "mcc": _ratio(tp * tn - fp * fn, float((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5),
        "auroc": auroc(above, hits),
        "average_precision": average_precision(above, hits),
        "log_loss": log_loss(logits, labels),
        "predicted_same_rate": _ratio(tp + fp, len(labels)),
        **counts,
    }
