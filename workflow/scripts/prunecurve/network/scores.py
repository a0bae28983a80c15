"""The metrics that training needs: those of `training.csv` and those that select the best epoch.

They are a module of their own because a network depends on them. A new column in metrics.py does not change a network,
so it must not train all networks again. Imports only numpy. metrics.py defines the positive class and predictions.
"""

from collections.abc import Mapping

import numpy as np

# The balanced accuracy of each constant answer.
CONSTANT = 0.5
# A network that guesses is more than three standard errors above a constant answer in about one of a thousand cases.
STANDARD_ERRORS = 3


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


def ratio(numerator: float, denominator: float) -> float:
    """Return the quotient, or 0 if the denominator is 0."""
    return numerator / denominator if denominator else 0.0


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean cross-entropy in nats of logits (n, 2) and labels (n,)."""
    margin = (logits[:, 1] - logits[:, 0]) * np.where(labels.astype(bool), -1.0, 1.0)
    # If a network diverged, its loss is not finite; the caller checks this, so numpy need not warn.
    with np.errstate(invalid="ignore"):
        return float(np.mean(np.logaddexp(0.0, margin)))


def accuracies(counts: dict[str, int]) -> dict[str, float]:
    """Return accuracy, balanced accuracy and the recall of both classes from the counts of `confusion`."""
    tp, fp, tn, fn = (counts[name] for name in ("tp", "fp", "tn", "fn"))
    recall_same, recall_different = ratio(tp, tp + fn), ratio(tn, tn + fp)
    return {
        "accuracy": ratio(tp + tn, tp + fp + tn + fn),
        "balanced_accuracy": (recall_same + recall_different) / 2,
        "recall_same": recall_same,
        "recall_different": recall_different,
    }


def validation_scores(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return `accuracies`, `log_loss` and the counts of `confusion` of logits (n, 2) and labels (n,), in float64."""
    logits = logits.astype(np.float64)
    counts = confusion(predict(logits), labels)
    return {**accuracies(counts), "log_loss": log_loss(logits, labels), **counts}


def above_constant(scores: Mapping[str, float]) -> bool:
    """Return whether a balanced accuracy is clearly above that of a constant answer: by three standard errors.

    scores: `balanced_accuracy`, `recall_same`, `recall_different` and the counts of `confusion`. The standard
    error is that of the mean of two independent shares, the recalls of both classes.
    """
    same, different = scores["tp"] + scores["fn"], scores["tn"] + scores["fp"]
    variance = sum(
        recall * (1 - recall) / max(pairs, 1) / 4
        for recall, pairs in ((scores["recall_same"], same), (scores["recall_different"], different))
    )
    excess = scores["balanced_accuracy"] - CONSTANT
    return bool(excess > 0 and excess**2 > STANDARD_ERRORS**2 * variance)
