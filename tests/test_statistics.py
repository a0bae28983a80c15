"""Summaries of curves, against numbers worked out by hand and scipy's own interval."""

import numpy as np
import pandas as pd
import pytest
from prunecurve.errors import StudyError
from prunecurve.statistics import (
    BOOTSTRAP_FROM,
    bootstrap_interval,
    interval,
    largest_k_within,
    networks,
    normalised_area,
    over_seeds,
    read_table,
    summarise,
)
from scipy import stats


def curve(accuracy: dict[int, list[float]], criterion: str = "l1_norm", removal: str = "structural") -> pd.DataFrame:
    rows = [
        {
            "dataset": "d",
            "seed": seed,
            "layer": "conv3",
            "criterion": criterion,
            "removal": removal,
            "k": k,
            "accuracy": value,
        }
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
    table = summarise(pd.concat([curve({0: [0.9, 0.8, 0.5], 1: [0.95, 0.945, 0.7]}), curve({0: [1, 1, 1]}, "apoz")]))
    assert table["criterion"].tolist() == ["l1_norm", "apoz"]
    row = table.iloc[0]
    assert row["seeds"] == 2
    assert row["interval"] == "Student t 95%" and row["bootstrap"] == "none: fewer than 10 seeds"
    assert row["control_accuracy_mean"] == pytest.approx(0.925)
    assert row["control_balanced_accuracy_mean"] == pytest.approx(0.825)
    assert row["control_accuracy_std"] == pytest.approx(0.05 / np.sqrt(2))
    assert row["accuracy_area_mean"] == pytest.approx(np.mean([0.75, 0.885]))
    assert row["largest_k_accuracy_mean"] == pytest.approx(0.5)
    assert (row["control_accuracy_low"], row["control_accuracy_high"]) == pytest.approx((0.925 - 0.3177, 1), abs=1e-4)
    assert (row["largest_k_accuracy_low"], row["largest_k_accuracy_high"]) == (0, 2)
    assert np.isnan(row["accuracy_area_bootstrap_low"])
    assert np.isnan(table.iloc[1]["control_accuracy_low"])


def test_draws_of_random_are_averaged_before_anything_over_networks():
    """Two draws each of two networks: two values, not four, whose spread is that of networks."""
    draws = {"random-1": {0: [0.9, 0.5], 1: [0.8, 0.6]}, "random-2": {0: [0.9, 0.1], 1: [0.8, 0.4]}}
    table = pd.concat(curve(values, name) for name, values in draws.items())
    found = networks(table)
    assert found["criterion"].tolist() == ["random"] * 2
    assert found["accuracy_area"].tolist() == pytest.approx([0.6, 0.65])
    (row,) = summarise(table).to_dict("records")
    assert (row["criterion"], row["seeds"], row["draws"]) == ("random", 2, 2)
    assert row["accuracy_area_std"] == pytest.approx(0.05 / np.sqrt(2))
    line = over_seeds(table, "accuracy")
    assert line["mean"].tolist() == pytest.approx([0.85, 0.4])
    expected = stats.ttest_1samp([0.3, 0.5], 0).confidence_interval(0.95)
    assert line["low"].iloc[1] == pytest.approx(max(expected.low, 0))
    assert line["high"].iloc[1] == pytest.approx(min(expected.high, 1))


def test_criteria_keep_the_order_of_the_curve():
    table = pd.concat([curve({0: [1, 1]}, name) for name in ("random-1", "apoz", "random-2", "chip")])
    assert summarise(table)["criterion"].tolist() == ["random", "apoz", "chip"]


def test_the_interval_is_students():
    expected = stats.ttest_1samp([0.9, 0.95, 0.7], 0).confidence_interval(0.95)
    assert interval(pd.Series([0.9, 0.95, 0.7])) == pytest.approx(tuple(expected))


def test_the_interval_of_one_network_is_none():
    assert np.isnan(interval(pd.Series([0.5]))).all()


def test_the_bootstrap_needs_enough_networks_and_is_the_same_each_time():
    values = pd.Series(np.random.default_rng(0).normal(0.8, 0.1, BOOTSTRAP_FROM))
    assert np.isnan(bootstrap_interval(values[:-1])).all()
    low, high = bootstrap_interval(values)
    assert (low, high) == bootstrap_interval(values)
    assert low < values.mean() < high
    # About as wide as Student's on values that are normal.
    assert high - low == pytest.approx(np.diff(interval(values))[0], rel=0.35)
    assert bootstrap_interval(pd.Series([0.5] * BOOTSTRAP_FROM)) == (0.5, 0.5)
    (row,) = summarise(curve({seed: [v, v] for seed, v in enumerate(values.clip(0, 1))})).to_dict("records")
    assert row["bootstrap"] == "BCa 95%"
    assert row["accuracy_area_bootstrap_low"] == pytest.approx(bootstrap_interval(values.clip(0, 1))[0])


def test_over_seeds_is_clipped_to_what_a_share_can_be():
    found = over_seeds(curve({0: [1.0, 0.2], 1: [0.9, 0.0]}), "accuracy")
    assert found["mean"].tolist() == pytest.approx([0.95, 0.1])
    assert (found["low"].ge(0) & found["high"].le(1) & found["low"].le(found["mean"])).all()


def test_a_broken_table_is_named(tmp_path):
    (tmp_path / "curve.csv").write_text("")
    with pytest.raises(StudyError, match=r"curve\.csv"):
        read_table(tmp_path / "curve.csv")
