"""What the curve's shape is told to be, on curves made for it."""

import numpy as np
import pandas as pd
import pytest
from prunecurve.shape import answers, constant_runs, facts, flips, table


def curve(predicted_same, recall_same, auroc=None, share_same=0.1) -> pd.DataFrame:
    """A network's curve from the share predicted same and the recall of same; the rest follows."""
    predicted, same = np.array(predicted_same, float), np.array(recall_same, float)
    different = 1 - (predicted - share_same * same) / (1 - share_same)
    return pd.DataFrame(
        {
            "dataset": "d",
            "seed": 0,
            "layer": "conv3",
            "criterion": "apoz",
            "removal": "structural",
            "k": range(len(predicted)),
        }
        | {"predicted_same_rate": predicted, "recall_same": same, "recall_different": different}
        | {"accuracy": share_same * same + (1 - share_same) * different, "balanced_accuracy": (same + different) / 2}
        | {"auroc": np.full(len(predicted), 0.9) if auroc is None else auroc}
    )


def test_answers():
    assert answers(pd.Series([1.0, 0.99, 0.98, 0.5, 0.02, 0.01, 0.0])).tolist() == [
        "same",
        "same",
        "mixed",
        "mixed",
        "mixed",
        "different",
        "different",
    ]


def test_flips_are_where_the_more_frequent_answer_changes():
    assert flips(np.arange(6), np.array([0.1, 0.6, 0.9, 0.4, 0.5, 0.51])) == [
        (1, "same"),
        (3, "different"),
        (5, "same"),
    ]
    assert flips(np.arange(2), np.array([0.1, 0.2])) == []


def test_constant_runs():
    answer = np.array(["mixed", "same", "same", "mixed", "different", "same"])
    assert constant_runs(np.arange(10, 16), answer) == [(11, 12, "same"), (14, 14, "different"), (15, 15, "same")]
    assert constant_runs(np.arange(2), np.array(["mixed", "mixed"])) == []
    assert constant_runs(np.arange(2), np.array(["same", "same"])) == [(0, 1, "same")]


def test_a_network_that_ends_in_always_same():
    found = facts(
        curve([0.1, 0.1, 0.7, 0.995, 0.6, 1, 1], [0.9, 0.9, 0.9, 1, 0.9, 1, 1], [0.99, 0.99, 0.98, 0.9, 0.9, 0.9, 0.5])
    )
    assert (found["flips"], found["flipped_at"]) == (1, "2 same")
    assert (found["ends"], found["constant_from"], found["constant_at"]) == ("same", 5, "3-3 same, 5-6 same")
    assert (found["lost_first"], found["lost_different_at"]) == ("different", 2)
    assert np.isnan(found["lost_same_at"])
    assert (found["gap_k"], found["gap_auroc"], found["gap_balanced_accuracy"]) == (5, 0.9, pytest.approx(0.5))
    assert (found["last_accuracy"], found["last_auroc"]) == (pytest.approx(0.1), 0.5)


def test_a_network_that_ends_in_always_different():
    found = facts(curve([0.1, 0.05, 0.0, 0.0], [0.9, 0.45, 0, 0]))
    assert (found["flips"], found["flipped_at"], found["ends"], found["constant_from"]) == (0, "", "different", 2)
    assert (found["lost_first"], found["lost_same_at"]) == ("same", 1)


def test_a_network_that_never_settles_loses_nothing():
    found = facts(curve([0.1, 0.2, 0.1], [0.9, 0.9, 0.8]))
    assert (found["ends"], found["lost_first"]) == ("mixed", "none")
    assert np.isnan(found["constant_from"])


def test_both_classes_lost_at_once():
    assert facts(curve([0.1, 0.7], [0.9, 0.4]))["lost_first"] == "both"


def test_constant_all_along():
    assert facts(curve([1, 1], [1, 1]))["constant_from"] == 0


def test_a_row_a_network_ranking_and_removal():
    one = curve([0.1, 1.0], [0.9, 1])
    found = table(
        pd.concat([one, one.assign(seed=1), one.assign(removal="zero_weights")]).sample(frac=1, random_state=0)
    )
    assert len(found) == 3
    assert (found["flipped_at"] == "1 same").all()
