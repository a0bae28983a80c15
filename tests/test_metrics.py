"""Every metric compared with scikit-learn, also for ties and degenerate predictions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prunecurve.data.basic_metrics import predict
from prunecurve.data.tasks.pairs import measure
from sklearn import metrics as sk

cases = st.tuples(st.integers(2, 60), st.integers(0, 2**31), st.sampled_from([1, 3, 100])).map(
    # Few distinct values, so that there are ties; small enough that scikit-learn does not clip the probabilities.
    lambda t: (
        np.random.default_rng(t[1]).integers(-t[2], t[2] + 1, (t[0], 2)).astype(np.float32) / 7,
        np.append([0, 1], np.random.default_rng(t[1] + 1).integers(0, 2, t[0] - 2)),
    )
)


@given(cases)
def test_metrics_agree_with_scikit_learn(case):
    logits, labels = case
    wide = logits.astype(np.float64)
    predicted, scores, probabilities = predict(logits), wide[:, 1] - wide[:, 0], np.exp(wide)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    tn, fp, fn, tp = sk.confusion_matrix(labels, predicted, labels=[0, 1]).ravel()
    expected = {
        "accuracy": sk.accuracy_score(labels, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
        "recall_same": sk.recall_score(labels, predicted),
        "recall_different": sk.recall_score(labels, predicted, pos_label=0),
        "precision_same": sk.precision_score(labels, predicted, zero_division=0),
        "f1_same": sk.f1_score(labels, predicted),
        "mcc": sk.matthews_corrcoef(labels, predicted),
        "auroc": sk.roc_auc_score(labels, scores),
        "average_precision": sk.average_precision_score(labels, scores),
        "log_loss": sk.log_loss(labels, probabilities, labels=[0, 1]),
        "predicted_same_rate": predicted.mean(),
        "tp": tp,
        "fp": fp,
        "tn": tn,
        "fn": fn,
    }
    found = measure(logits, labels)
    assert list(found) == list(expected)
    assert found == pytest.approx(expected, abs=1e-9)


def test_a_tie_is_different_as_argmax_has_it():
    logits = np.array([[1.0, 1.0], [0.0, 1.0], [2.0, 1.0]])
    assert predict(logits).tolist() == [False, True, False]


def test_always_different_is_nine_tenths_and_no_better_than_chance():
    found = measure(np.tile([1.0, 0.0], (100, 1)), np.arange(100) < 10)
    assert (found["accuracy"], found["balanced_accuracy"], found["auroc"], found["mcc"]) == (0.9, 0.5, 0.5, 0.0)


def test_huge_logits_give_a_finite_loss():
    assert measure(np.array([[1e4, -1e4], [0.0, 1e4]]), np.array([1, 1]))["log_loss"] == pytest.approx(1e4)
