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


def auroc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve: the share of (same, different) couples in the right order, ties counting half."""
    positives = labels.astype(bool)
    _, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    # Ranks from 1; the members of a tie share the mean of their ranks.
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[group]
    n, p = len(scores), int(positives.sum())
    return _ratio(float(ranks[positives].sum()) - p * (p + 1) / 2, p * (n - p))


def average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Σ over thresholds of (recall gained) × precision, without interpolation, as scikit-learn defines it."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(labels[order].astype(np.int64))
    # A threshold stands after the last member of each group of equal scores.
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    precision = hits[last] / (last + 1)
    gained = np.diff(hits[last], prepend=0)
    return _ratio(float(np.sum(gained * precision)), float(hits[-1]))


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
    scores = logits[:, 1] - logits[:, 0]
    return {
        "accuracy": _ratio(tp + tn, len(labels)),
        "balanced_accuracy": (recall_same + recall_different) / 2,
        "recall_same": recall_same,
        "recall_different": recall_different,
        "precision_same": _ratio(tp, tp + fp),
        "f1_same": _ratio(2 * tp, 2 * tp + fp + fn),
        "mcc": _ratio(tp * tn - fp * fn, float((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5),
        "auroc": auroc(scores, labels),
        "average_precision": average_precision(scores, labels),
        "log_loss": log_loss(logits, labels),
        "predicted_same_rate": _ratio(tp + fp, len(labels)),
        **counts,
    }
