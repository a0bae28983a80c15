"""Summaries of curves, compared with numbers computed by hand and with intervals from scipy."""

import numpy as np
import pandas as pd
import pytest
from invented import study_of_pairs
from prunecurve.errors import StudyError
from prunecurve.statistics.means import (
    BOOTSTRAP_FROM,
    bootstrap_interval,
    by_network,
    interval,
    largest_k_within,
    mean_curves,
    normalised_area,
    read_table,
    summarise,
)
from prunecurve.data.tasks.pairs.metrics import METRICS
from scipy import stats


def curve(
    accuracy: dict[int, list[float]], criterion: str = "l1_norm", removal: str = "structural", repair: str = "none"
) -> pd.DataFrame:
    rows = [
        {"dataset": "d", "seed": seed, "layer": "conv3", "criterion": criterion, "removal": removal}
        | {"repair": repair}
        | {"k": k, "accuracy": value}
        for seed, values in accuracy.items()
        for k, value in enumerate(values)
    ]
    # Nine of ten pairs are different. The counts are used only for this share.
    counts = {"tp": 5, "fn": 5, "fp": 20, "tn": 70}
    sizes = {"params": 10, "macs": 20, "compression_ratio": 1.5, "theoretical_speedup": 2.0}
    table = pd.DataFrame(rows).assign(**counts, **sizes, channels_left=lambda table: 9 - table["k"])
    return table.assign(balanced_accuracy=lambda table: table["accuracy"] - 0.1)


def study(criteria: int, removals: int, seeds: int, ks: int, draws: int = 2) -> pd.DataFrame:
    """Return a curve.csv with random numbers. One of the criteria is random, with `draws` orders."""
    orders = [f"c{i}" for i in range(criteria - 1)] + [f"random-{i + 1}" for i in range(draws)]
    return study_of_pairs(orders, ["structural", "zero_weights", "mean_replacement"][:removals], seeds, ks)


@pytest.mark.parametrize(
    ("values", "largest"),
    [
        ([0.98, 0.975, 0.97, 0.96, 0.9, 0.9], 2),
        # The curve returns to within one point at K = 4, in the next case above the unpruned network.
        # Only the first crossing counts.
        ([0.98, 0.9, 0.9, 0.9, 0.972, 0.9], 0),
        ([0.98, 0.99, 0.975, 0.969, 0.985, 0.99], 2),
        ([0.98, 0.9, 0.9, 0.9, 0.9, 0.9], 0),
        # Values above the unpruned network count as within one point. Only the last K is below.
        ([0.5, 0.7, 0.6, 0.55, 0.5, 0.4], 4),
        ([0.5, 0.5, 0.5, 0.5, 0.5, 0.49], 5),
    ],
)
def test_largest_k_within_a_point_is_where_the_curve_first_leaves_it(values, largest):
    assert largest_k_within(np.arange(6), np.array(values)) == largest
    # If a study evaluates only some K, the result is the K, not its position.
    assert largest_k_within(np.arange(6) * 10, np.array(values)) == largest * 10
    assert largest_k_within(np.array([0]), np.array(values[:1])) == 0


def test_exactly_one_point_less_is_within_a_point():
    """Of shares of 1,000 inputs: the difference of two floats may be more than 0.01."""
    for right in range(10, 1001):
        assert largest_k_within(np.arange(3), np.array([right, right - 10, right - 11]) / 1000) == 1


def test_area_is_the_mean_height():
    assert normalised_area(np.array([0, 1, 4]), np.array([1.0, 1.0, 0.0])) == pytest.approx((1 + 1.5) / 4)
    assert normalised_area(np.array([0]), np.array([0.7])) == 0.7


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
    assert table["constant_accuracy"].tolist() == pytest.approx([0.9, 0.9])


def test_draws_of_random_are_averaged_before_anything_over_networks():
    """Two draws for each of two networks give two values, not four. The spread is that between networks."""
    draws = {"random-1": {0: [0.9, 0.5], 1: [0.8, 0.6]}, "random-2": {0: [0.9, 0.1], 1: [0.8, 0.4]}}
    table = pd.concat(curve(values, name) for name, values in draws.items())
    per_network = by_network(table)
    assert per_network["criterion"].tolist() == ["random"] * 2
    assert per_network["accuracy_area"].tolist() == pytest.approx([0.6, 0.65])
    (row,) = summarise(table).to_dict("records")
    assert (row["criterion"], row["seeds"], row["draws"]) == ("random", 2, 2)
    assert row["accuracy_area_std"] == pytest.approx(0.05 / np.sqrt(2))


def test_mean_curves_against_scipy_group_by_group():
    """Mean and interval of every metric. Draws of random are averaged within a network first."""
    curve = study(criteria=3, removals=2, seeds=4, ks=3)
    table = mean_curves(curve)
    keys = ["criterion", "removal", "k"]
    first = curve.assign(criterion=curve["criterion"].str.replace(r"-\d+$", "", regex=True))[keys].drop_duplicates()
    assert table[keys].to_numpy().tolist() == first.to_numpy().tolist(), "in the order of the curve"
    for row in table.to_dict("records"):
        rows = curve[(curve["removal"] == row["removal"]) & (curve["k"] == row["k"])]
        rows = rows[rows["criterion"].str.startswith(row["criterion"])]
        assert (row["seeds"], row["draws"]) == (4, 2 if row["criterion"] == "random" else 1)
        for name in METRICS:
            values = [rows.loc[rows["seed"] == seed, name].to_numpy().mean() for seed in range(4)]
            ends = stats.ttest_1samp(values, 0).confidence_interval(0.95)
            least = {"mcc": -1}.get(name, 0)
            most = {"log_loss": np.inf}.get(name, 1)
            assert row[f"{name}_mean"] == pytest.approx(np.mean(values))
            assert row[f"{name}_low"] == pytest.approx(np.clip(ends.low, least, most))
            assert row[f"{name}_high"] == pytest.approx(np.clip(ends.high, least, most))
        assert row["constant_accuracy"] == pytest.approx(0.9)
        assert (row["channels_left"], row["params"]) == (3 - row["k"], 2 * (3 - row["k"]))
        assert row["compression_ratio"] == pytest.approx(3 / (3 - row["k"]))
    clipped = table["mcc_low"].eq(-1) | table["mcc_high"].eq(1)
    assert clipped.any() and not clipped.all()


def test_mean_curves_of_one_network_have_no_interval():
    curve = study(criteria=2, removals=1, seeds=1, ks=4)
    table = mean_curves(curve)
    assert (table["seeds"] == 1).all()
    assert table.filter(regex="_(low|high)$").isna().all(axis=None)
    assert table["accuracy_mean"].head(4).tolist() == curve["accuracy"].head(4).tolist()
    assert ",,," in table.to_csv()


@pytest.mark.parametrize("column", ["dataset", "layer", "name", "answer"])
@pytest.mark.parametrize("name", ["NA", "007", "1e5", "4.10", "True"])
def test_a_name_is_a_text(tmp_path, column, name):
    """pandas would take some for numbers or missing values, and a group of rows without a name is left out."""
    (tmp_path / "a.csv").write_text(f"{column},k,accuracy\n{name},0,0.5\n{name},1,\n{name},2,nan\n")
    table = read_table(tmp_path / "a.csv")
    assert table[column].tolist() == [name] * 3 and np.isnan(table["accuracy"]).tolist() == [False, True, True]
    assert len(table.groupby(column)) == 1


def test_a_table_without_repairs_has_none(tmp_path):
    """Archives of older versions do not have the column."""
    (tmp_path / "a.csv").write_text("removal,k\nstructural,0\nzero_weights,1\n")
    table = read_table(tmp_path / "a.csv")
    assert list(table) == ["removal", "repair", "k"] and table["repair"].tolist() == ["none", "none"]
    (tmp_path / "a.csv").write_text("channel,order\n0,1\n")
    assert list(read_table(tmp_path / "a.csv")) == ["channel", "order"]


def test_each_repair_has_means_of_its_own():
    """With fitted biases, K = 0 is not the unpruned network as it is."""
    parts = {"none": [0.9, 0.5], "bias": [0.94, 0.7]}
    table = pd.concat(curve({0: values, 1: values}, repair=repair) for repair, values in parts.items())
    means, summary = mean_curves(table), summarise(table)
    assert list(means)[:6] == ["dataset", "layer", "criterion", "removal", "repair", "k"]
    assert means["accuracy_mean"].tolist() == pytest.approx([0.9, 0.5, 0.94, 0.7])
    assert summary["repair"].tolist() == ["none", "bias"] and summary["seeds"].tolist() == [2, 2]
    assert summary["control_accuracy_mean"].tolist() == pytest.approx([0.9, 0.94])
    assert summary["accuracy_area_mean"].tolist() == pytest.approx([0.7, 0.82])


def test_a_metric_that_is_nan_in_one_network_has_no_mean():
    curve = study(criteria=2, removals=1, seeds=3, ks=2)
    curve.loc[0, "log_loss"] = np.nan
    table = mean_curves(curve)
    assert table["log_loss_mean"].isna().tolist() == [True, *[False] * (len(table) - 1)]
    assert table["accuracy_mean"].notna().all()


def test_networks_of_different_size_have_no_mean_size():
    curve = study(criteria=2, removals=1, seeds=2, ks=2)
    curve.loc[(curve["seed"] == 1) & (curve["k"] == 1), "macs"] += 1
    with pytest.raises(StudyError, match="differ in macs at digits, conv3, c0, structural, none, 1"):
        mean_curves(curve)


def test_the_bootstrap_needs_enough_networks_and_is_the_same_each_time():
    values = pd.Series(np.random.default_rng(0).normal(0.8, 0.1, BOOTSTRAP_FROM))
    assert np.isnan(bootstrap_interval(values[:-1])).all()
    low, high = bootstrap_interval(values)
    assert (low, high) == bootstrap_interval(values)
    assert low < values.mean() < high
    # For normally distributed values, it is about as wide as Student's interval.
    assert high - low == pytest.approx(np.diff(interval(values))[0], rel=0.35)
    assert bootstrap_interval(pd.Series([0.5] * BOOTSTRAP_FROM)) == (0.5, 0.5)
    (row,) = summarise(curve({seed: [v, v] for seed, v in enumerate(values.clip(0, 1))})).to_dict("records")
    assert row["bootstrap"] == "BCa 95%"
    assert row["accuracy_area_bootstrap_low"] == pytest.approx(bootstrap_interval(values.clip(0, 1))[0])


def test_a_broken_table_is_named(tmp_path):
    (tmp_path / "curve.csv").write_text("")
    with pytest.raises(StudyError, match=r"curve\.csv"):
        read_table(tmp_path / "curve.csv")


def test_a_plan_of_an_older_version_is_named(tmp_path):
    (tmp_path / "plan.csv").write_text("dataset,seed,method\ndigits,0,plan\n")
    with pytest.raises(StudyError, match=r"plan.csv is a plan of an older version; run snakemake plan again"):
        read_table(tmp_path / "plan.csv")
