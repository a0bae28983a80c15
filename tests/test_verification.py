"""The verification must be able to fail: each compared quantity is changed once."""

import numpy as np
import pytest
from prunecurve.errors import StudyError
from prunecurve.metrics import measure
from prunecurve.sweep import checked_ks
from prunecurve.verification import compare, require_agreement

LABELS = np.array([1, 1, 0, 0, 0, 0])
LOGITS = np.array([[0, 2], [1, 0], [1, 0], [3, 1], [0, 1], [2, 1]], dtype=np.float32)
ROW = {name: str(value) for name, value in measure(LOGITS, LABELS).items()}


def test_equal_logits_agree():
    found = compare(ROW, LOGITS, LOGITS + 1e-6, LABELS, 1e-4)
    assert found["agrees"] and found["rounding_flips"] == 0
    assert (found["tp_sweep"], found["tp_surgery"]) == (1, 1)


def test_a_logit_off_by_more_than_the_tolerance_disagrees():
    cut = LOGITS.copy()
    cut[3, 0] += 2e-4
    found = compare(ROW, LOGITS, cut, LABELS, 1e-4)
    assert not found["agrees"]
    assert found["max_logit_difference"] == pytest.approx(2e-4, rel=1e-2)


def test_a_row_with_other_counts_disagrees():
    assert not compare(ROW | {"tp": "2", "fn": "0"}, LOGITS, LOGITS, LABELS, 1e-4)["agrees"]


@pytest.mark.parametrize(("margin", "agrees"), [(1e-6, True), (5e-5, False)])
def test_only_a_pair_at_the_very_decision_may_flip(margin, agrees):
    swept, cut = LOGITS.copy(), LOGITS.copy()
    swept[2], cut[2] = (0, 0), (0, margin)
    row = {name: str(value) for name, value in measure(swept, LABELS).items()}
    found = compare(row, swept, cut, LABELS, 1e-4)
    assert found["agrees"] is agrees
    assert found["rounding_flips"] == int(agrees)
    assert found["fp_surgery"] == found["fp_sweep"] + 1


def test_disagreement_says_which_k_which_criterion_and_by_how_much():
    row = {"criterion": "l1_norm", "removal": "structural", "k": 32}
    bad = row | compare(ROW, LOGITS, LOGITS + 0.25, LABELS, 1e-4)
    good = row | {"k": 0} | compare(ROW, LOGITS, LOGITS, LABELS, 1e-4)
    require_agreement([good], 1e-4, "here")
    message = r"in 1 of 2 comparisons: K = 32, l1_norm, structural: .* by up to 0\.25 \(allowed"
    with pytest.raises(StudyError, match=message):
        require_agreement([good, bad], 1e-4, "here")


@pytest.mark.parametrize(
    ("channels", "ks"), [(128, [0, 1, 32, 64, 96, 127]), (8, [0, 1, 2, 4, 6, 7]), (2, [0, 1]), (3, [0, 1, 2])]
)
def test_checked_ks(channels, ks):
    assert checked_ks(channels) == ks
