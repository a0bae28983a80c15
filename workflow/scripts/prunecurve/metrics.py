"""The metrics that an evaluation reports. Imports only numpy, because every evaluation job imports this module.

The positive class is *same* (label 1). A pair is predicted *same* if its second logit is larger than
its first; on a tie the prediction is *different*, as with argmax. A ratio whose denominator is 0 is
reported as 0, as is scikit-learn's default.
"""

import numpy as np


def confusion(predicted: np.ndarray, labels: np.ndarray) -> dict[str, int]:
    """Return the counts tp, fp, tn, fn of predictions and labels (n,), boolean or 0/1."""
    predicted, labels = predicted.astype(bool), labels.astype(bool)
    return {
        "tp": int(np.sum(predicted & labels)),
        "fp": int(np.sum(predicted & ~labels)),
        "tn": int(np.sum(~predicted & ~labels)),
        "fn": int(np.sum(~predicted & labels)),
    }


def predict(logits: np.ndarray) -> np.ndarray:
    """Return boolean predictions (n,), true for *same*, from logits (n, 2)."""
    return logits[:, 1] > logits[:, 0]


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else 0.0


def ranked(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each threshold from the highest score down, the pairs above it and the *same* pairs above it.

    There is one threshold below each group of equal scores, so the order within a group does not matter. Both arrays
    have one count per distinct score.
    """
    order = np.argsort(-scores)
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    return last + 1, np.cumsum(labels[order].astype(np.int64))[last]


def auroc(above: np.ndarray, hits: np.ndarray) -> float:
    """Return the area under the ROC curve from the counts of `ranked`.

    It is the share of (same, different) combinations with the higher score for *same*; ties count one half.
    """
    misses = above - hits
    # The different pairs of a group score lower than the same pairs above the group and tie with those in the group.
    couples = np.diff(misses, prepend=0) * (hits + np.append(0, hits[:-1]))
    return _ratio(float(couples.sum()) / 2, float(hits[-1]) * float(misses[-1]))


def average_precision(above: np.ndarray, hits: np.ndarray) -> float:
    """Return the average precision from the counts of `ranked`: Σ (increase of recall) × precision over thresholds.

    Not interpolated, as in scikit-learn.
    """
    return _ratio(float(np.sum(np.diff(hits, prepend=0) * (hits / above))), float(hits[-1]))


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean cross-entropy in nats of logits (n, 2) and labels (n,)."""
    margin = (logits[:, 1] - logits[:, 0]) * np.where(labels.astype(bool), -1.0, 1.0)
    # If a network diverged, its loss is not finite; the caller checks this, so numpy need not warn.
    with np.errstate(invalid="ignore"):
        return float(np.mean(np.logaddexp(0.0, margin)))


def measure(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return all metrics of logits (n, 2) and labels (n,), in float64, in the order of the CSV columns."""
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
