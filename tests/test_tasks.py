"""Tasks: the contract of a module, inputs and labels, metrics compared with scikit-learn, bounds."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prunecurve.data import tasks
from prunecurve.data.basic_metrics import log_loss, predict
from prunecurve.data.metrics import log_odds
from prunecurve.data.tasks.classes import metrics as classes
from prunecurve.data.tasks.pairs import metrics as pairs
from prunecurve.errors import StudyError
from prunecurve.tables import as_text
from prunecurve.verification.comparison import compare
from scipy.special import log_softmax, softmax
from sklearn import metrics as sk


@pytest.mark.parametrize("name", tasks.names())
def test_a_task_fulfils_the_contract(name):
    """`make lint` compares the types, too."""
    task = tasks.metrics_of(name)
    assert isinstance(tasks.inputs_of(name), tasks.Inputs) and isinstance(task, tasks.Metrics)
    found = task.measure(np.random.default_rng(0).normal(size=(90, 2)), np.arange(90) % 2)
    assert [column for column in found if column in task.METRICS] == [m for m in task.METRICS if m in found]
    assert set(task.counts(2)) < set(found)


def test_the_default_task_comes_first():
    assert tasks.names()[0] == tasks.DEFAULT == "pairs"


def few_rows(seed: int, inputs: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return logits with many equal rows, and labels with classes that may be absent. No two classes tie."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(0, 2, (max(inputs // 3, 2), count))
    labels = rng.integers(0, count, inputs)
    labels[:2] = (0, 1)
    return rows[rng.integers(0, len(rows), inputs)].astype(np.float32), labels


@given(st.integers(0, 2**32 - 1), st.integers(2, 80), st.sampled_from([2, 3, 6, 11]))
def test_metrics_of_classes_agree_with_scikit_learn(seed, inputs, count):
    logits, labels = few_rows(seed, inputs, count)
    wide = logits.astype(np.float64)
    predicted, every, probabilities = wide.argmax(axis=1), range(count), softmax(wide, axis=1)
    found, answers = classes.measure(logits, labels), np.bincount(predicted, minlength=count)
    with warnings.catch_warnings():
        # scikit-learn warns about answers of classes without inputs.
        warnings.simplefilter("ignore")
        expected = {
            "accuracy": sk.accuracy_score(labels, predicted),
            "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
            "f1_macro": sk.f1_score(labels, predicted, average="macro"),
            "mcc": sk.matthews_corrcoef(labels, predicted),
            "auroc": np.mean([sk.roc_auc_score(labels == c, log_odds(wide)[:, c]) for c in np.unique(labels)]),
            "log_loss": sk.log_loss(labels, probabilities, labels=list(every)),
            "most_frequent_answer": answers.argmax(),
            "most_frequent_share": answers.max() / inputs,
            "constant_accuracy": np.bincount(labels).max() / inputs,
            "constant_balanced_accuracy": 1 / len(set(labels.tolist())),
        }
        if count >= 6:
            expected["top_5_accuracy"] = sk.top_k_accuracy_score(labels, wide, k=5, labels=list(every))
        if len(np.unique(labels)) == count > 2:
            # Its own scores, which have no other order.
            whole = sk.roc_auc_score(labels, probabilities, multi_class="ovr", labels=list(every))
            assert found["auroc"] == pytest.approx(whole, abs=1e-9)
    matrix = sk.confusion_matrix(labels, predicted, labels=list(every))
    expected |= {f"correct_{c}": matrix[c, c] for c in every} | {f"predicted_{c}": answers[c] for c in every}
    assert found == pytest.approx(expected, abs=1e-9)


@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 6, 9]))
def test_on_ties_of_logits_the_lowest_class_wins(seed, count):
    """scikit-learn's top-k takes the highest class on a tie, so it gets the classes in reverse order."""
    rng = np.random.default_rng(seed)
    logits, labels = rng.integers(0, 3, (40, count)).astype(np.float64), rng.integers(0, count, 40)
    found = classes.measure(logits, labels)
    assert found["accuracy"] == np.mean(logits.argmax(axis=1) == labels)
    if count >= 6:
        reverse = sk.top_k_accuracy_score(count - 1 - labels, logits[:, ::-1], k=5, labels=list(range(count)))
        assert found["top_5_accuracy"] == pytest.approx(reverse)


def test_the_log_odds_are_those_of_the_probabilities_and_do_not_saturate():
    logits = np.random.default_rng(0).normal(0, 3, (50, 4))
    p = softmax(logits, axis=1)
    assert log_odds(logits) == pytest.approx(np.log(p / (1 - p)), abs=1e-9)
    two = np.array([[0.0, 40.0], [0.0, 41.0], [0.0, 2000.0]])
    assert log_odds(two)[:2, 1].tolist() == [40.0, 41.0] and np.isfinite(log_odds(two)).all()


@given(st.integers(0, 2**32 - 1), st.integers(2, 7))
def test_the_log_loss_is_the_cross_entropy(seed, count):
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(0, 30, (20, count)), rng.integers(0, count, 20)
    assert log_loss(logits, labels) == pytest.approx(-log_softmax(logits, axis=1)[range(20), labels].mean())
    if count == 2:
        margin = (logits[:, 1] - logits[:, 0]) * np.where(labels == 1, -1.0, 1.0)
        assert log_loss(logits, labels) == float(np.mean(np.logaddexp(0.0, margin))), "byte for byte, as before"


def test_a_constant_answer_has_the_constant_scores():
    labels = np.repeat([0, 1, 2], [5, 3, 2])
    found = classes.measure(np.tile([1.0, 0.0, 0.0], (10, 1)), labels)
    assert (found["accuracy"], found["balanced_accuracy"]) == (0.5, pytest.approx(1 / 3))
    assert (found["constant_accuracy"], found["constant_balanced_accuracy"]) == (0.5, pytest.approx(1 / 3))
    assert (found["auroc"], found["mcc"], found["most_frequent_share"]) == (0.5, 0.0, 1.0)
    assert [found[name] for name in classes.counts(3)] == [5, 0, 0, 10, 0, 0]


@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 4, 7]), st.sampled_from([0.0, 1e-7, 1e-3, 0.3]))
def test_the_metrics_lie_within_what_rounding_can_change(seed, count, noise):
    rng = np.random.default_rng(seed)
    labels, cut = rng.integers(0, count, 30), rng.integers(-2, 3, (30, count)) * 0.5
    swept = cut + noise * rng.uniform(-1, 1, cut.shape)
    for rounding in (0.0, noise / 2):
        found = classes.measure(swept + rounding * rng.uniform(-1, 1, cut.shape), labels)
        bounds = classes.bounds(swept, cut, labels, rounding)
        assert set(bounds) == {"auroc", "log_loss"} | ({"top_5_accuracy"} if count >= 6 else set())
        for name, (low, high) in bounds.items():
            assert low - 1e-9 <= found[name] <= high + 1e-9, name


def test_without_ties_the_bounds_are_narrow():
    scores, labels = np.random.default_rng(0).normal(size=(500, 8)), np.arange(500) % 8
    for name, (low, high) in classes.bounds(scores + 1e-9, scores, labels).items():
        assert high - low < 1e-6, name


cases = st.tuples(st.integers(2, 60), st.integers(0, 2**31), st.sampled_from([1, 3, 100])).map(
    # Few distinct values, so that there are ties; small enough that scikit-learn does not clip the probabilities.
    lambda t: (
        np.random.default_rng(t[1]).integers(-t[2], t[2] + 1, (t[0], 2)).astype(np.float32) / 7,
        np.append([0, 1], np.random.default_rng(t[1] + 1).integers(0, 2, t[0] - 2)),
    )
)


@given(cases)
def test_metrics_of_pairs_agree_with_scikit_learn(case):
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
    found = pairs.measure(logits, labels)
    assert list(found) == list(expected)
    assert found == pytest.approx(expected, abs=1e-9)


def test_a_tie_is_different_as_argmax_has_it():
    logits = np.array([[1.0, 1.0], [0.0, 1.0], [2.0, 1.0]])
    assert predict(logits).tolist() == [False, True, False]


def test_always_different_is_nine_tenths_and_no_better_than_chance():
    found = pairs.measure(np.tile([1.0, 0.0], (100, 1)), np.arange(100) < 10)
    assert (found["accuracy"], found["balanced_accuracy"], found["auroc"], found["mcc"]) == (0.9, 0.5, 0.5, 0.0)


def test_huge_logits_give_a_finite_loss():
    assert pairs.measure(np.array([[1e4, -1e4], [0.0, 1e4]]), np.array([1, 1]))["log_loss"] == pytest.approx(1e4)


LABELS = np.arange(24) % 6
LOGITS = np.random.default_rng(3).normal(size=(24, 6)).astype(np.float32)
SIZE = {"params": 12, "macs": 34}


def row_of(logits: np.ndarray) -> dict[str, str]:
    return {name: as_text(value) for name, value in (classes.measure(logits, LABELS) | SIZE).items()}


@pytest.mark.parametrize("name", [*classes.counts(6), "auroc", "log_loss", "top_5_accuracy", "params"])
def test_the_verification_of_classes_can_fail_in_every_column(name):
    row = row_of(LOGITS)
    assert compare(row, LOGITS, LOGITS + 1e-6, LABELS, 1e-4, SIZE, "classes")["agrees"]
    exact = name in (*classes.counts(6), "params")
    wrong = str(int(row[name]) + 1) if exact else str(float(row[name]) + 1e-3)
    found = compare(row | {name: wrong}, LOGITS, LOGITS, LABELS, 1e-4, SIZE, "classes")
    assert not found["agrees"] and str(found[f"{name}_sweep"]) == wrong


@pytest.mark.parametrize(("margin", "agrees"), [(1e-6, True), (5e-5, False)])
def test_only_an_input_between_two_classes_may_change_its_answer(margin, agrees):
    swept, cut = LOGITS.copy(), LOGITS.copy()
    swept[5], cut[5] = (0, 1, 1, 0, 0, 0), (0, 1, 1 + margin, 0, 0, 0)
    found = compare(row_of(swept), swept, cut, LABELS, 1e-4, SIZE, "classes")
    assert (predict(swept)[5], predict(cut)[5]) == (1, 2)
    assert found["agrees"] is agrees and found["rounding_flips"] == int(agrees)
    # The same if only the row, which another processor can have computed, has the other answer.
    found = compare(row_of(swept), cut, cut, LABELS, 1e-4, SIZE, "classes")
    assert found["agrees"] is agrees and found["rounding_flips"] == int(agrees)


def test_an_input_of_classes_is_one_image_with_its_class():
    of_images = np.array([2, 0, 1, 1])
    inputs, labels = tasks.inputs_of("classes").inputs(of_images, np.random.default_rng(0))
    assert (inputs.dtype, inputs.tolist()) == (np.int32, [[0], [1], [2], [3]])
    assert (labels.dtype, labels.tolist()) == (np.int64, [2, 0, 1, 1])
    assert tasks.inputs_of("classes").class_names(["a", "b", "c"]) == ("a", "b", "c")
    assert tasks.inputs_of("pairs").class_names(["a", "b", "c"]) == ("different", "same")


def test_a_class_without_images_is_named():
    message = r"images\.val: the 3 images of the split include none of class b; raise images\.val, add images of"
    with pytest.raises(StudyError, match=message):
        tasks.inputs_of("classes").require("val", np.array([0, 2, 0]), ["a", "b", "c"])
    with pytest.raises(StudyError, match=r"none of class 1, 2, 3, 4, 5 and 14 more; raise"):
        tasks.inputs_of("classes").require("val", np.array([0]), [str(number) for number in range(20)])
