"""Summaries of curves, against numbers worked out by hand and scipy's own interval."""

import numpy as np
import pandas as pd
import pytest
from prunecurve.errors import StudyError
from prunecurve.statistics import interval, largest_k_within, normalised_area, over_seeds, read_table, summarise
from scipy import stats


def curve(accuracy: dict[int, list[float]], criterion: str = "l1_norm") -> pd.DataFrame:
    rows = [
        {"dataset": "d", "seed": seed, "criterion": criterion, "removal": "structural", "k": k, "accuracy": value}
        for seed, values in accuracy.items()
        for k, value in enumerate(values)
    ]
    return pd.DataFrame(rows).assign(balanced_accuracy=lambda table: table["accuracy"] - 0.1)


def test_area_is_the_mean_height():
    assert normalised_area(np.array([0, 1, 2]), np.array([1.0, 0.5, 0.0])) == pytest.approx(0.5)
    assert normalised_area(np.array([0, 1, 4]), np.array([1.0, 1.0, 0.0])) == pytest.approx((1 + 1.5) / 4)
    assert normalised_area(np.array([0]), np.array([0.7])) == 0.7


def test_largest_k_within_a_point():
    k = np.arange(6)
    assert largest_k_within(k, np.array([0.98, 0.975, 0.97, 0.96, 0.9, 0.9])) == 2
    assert largest_k_within(k, np.array([0.98, 0.9, 0.9, 0.9, 0.972, 0.9])) == 4
    assert largest_k_within(k, np.array([0.98, 0.9, 0.9, 0.9, 0.9, 0.9])) == 0


def test_summary_over_seeds():
    table = summarise(pd.concat([curve({0: [0.9, 0.8, 0.5], 1: [0.95, 0.945, 0.7]}), curve({0: [1, 1, 1]}, "random")]))
    assert table["criterion"].tolist() == ["l1_norm", "random"]
    row = table.iloc[0]
    assert row["seeds"] == 2
    assert row["control_accuracy_mean"] == pytest.approx(0.925)
    assert row["control_balanced_accuracy_mean"] == pytest.approx(0.825)
    assert row["control_accuracy_std"] == pytest.approx(0.05 / np.sqrt(2))
    assert row["accuracy_area_mean"] == pytest.approx(np.mean([0.75, 0.885]))
    assert row["largest_k_accuracy_mean"] == pytest.approx(0.5)
    assert (row["control_accuracy_low"], row["control_accuracy_high"]) == pytest.approx((0.925 - 0.3177, 1), abs=1e-4)
    assert (row["largest_k_accuracy_low"], row["largest_k_accuracy_high"]) == (0, 2)
    assert np.isnan(table.iloc[1]["control_accuracy_low"])


def test_the_interval_is_students():
    expected = stats.ttest_1samp([0.9, 0.95, 0.7], 0).confidence_interval(0.95)
    assert interval(pd.Series([0.9, 0.95, 0.7])) == pytest.approx(tuple(expected))


def test_the_interval_of_one_network_is_none():
    assert np.isnan(interval(pd.Series([0.5]))).all()


def test_over_seeds_is_clipped_to_what_a_share_can_be():
    found = over_seeds(curve({0: [1.0, 0.2], 1: [0.9, 0.0]}), "accuracy")
    assert found["mean"].tolist() == pytest.approx([0.95, 0.1])
    assert (found["low"].ge(0) & found["high"].le(1) & found["low"].le(found["mean"])).all()


def test_a_broken_table_is_named(tmp_path):
    (tmp_path / "curve.csv").write_text("")
    with pytest.raises(StudyError, match=r"curve\.csv"):
        read_table(tmp_path / "curve.csv")
