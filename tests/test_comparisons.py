"""Paired differences and rank agreement, compared with scipy and with Holm's procedure computed step by step."""

import numpy as np
import pandas as pd
import pytest
from prunecurve.statistics.comparisons import QUANTITIES, agreement, paired
from scipy import stats
from test_statistics import curve

SEEDS = range(6)


def study(names: dict[str, float], removals=("structural",)) -> pd.DataFrame:
    """Return curves whose areas are about the given numbers. All criteria of a network share one random offset."""
    rng = np.random.default_rng(0)
    chance, own = rng.normal(0, 0.05, len(SEEDS)), rng.normal(0, 0.01, (len(names), len(SEEDS)))
    return pd.concat(
        curve({s: [0.95, level + chance[s] + own[i, s]] for s in SEEDS}, name, removal)
        for removal in removals
        for i, (name, level) in enumerate(names.items())
    )


def test_differences_are_those_of_the_paired_t_test():
    table = paired(study({"apoz": 0.5, "greedy": 0.9, "random-1": 0.48, "random-2": 0.55}))
    assert len(table) == len(QUANTITIES) * 4
    row = table.query("quantity == 'accuracy_area' and criterion == 'apoz' and baseline == 'random'").iloc[0]
    curves = study({"apoz": 0.5, "greedy": 0.9, "random-1": 0.48, "random-2": 0.55}).query("k == 1")
    last = curves.pivot(index="seed", columns="criterion", values="accuracy")
    # The area is the mean of the two values, and the first value is the same in all curves.
    expected = stats.ttest_rel(last["apoz"] / 2, (last["random-1"] + last["random-2"]) / 4)
    assert (row["seeds"], row["p"]) == (6, pytest.approx(expected.pvalue))
    assert (row["low"], row["high"]) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert row["mean"] == pytest.approx((last["apoz"] / 2 - (last["random-1"] + last["random-2"]) / 4).mean())
    assert set(table["criterion"]) == {"apoz", "greedy", "random"}
    assert not (table["criterion"] == table["baseline"]).any()


def test_holm_corrects_for_all_comparisons_of_a_quantity():
    """Per removal: two criteria against two baselines, and the baselines once against each other."""
    assert set(QUANTITIES) == {"accuracy_area", "balanced_accuracy_area"}, (
        "the K where a curve crosses a threshold is not tested"
    )
    names = {"apoz": 0.5, "chip": 0.52, "greedy": 0.9, "random-1": 0.48}
    table = paired(study(names, ("structural", "zero_weights")))
    assert (table["comparisons"] == 2 * 5).all()
    for _, rows in table.groupby("quantity"):
        assert len(rows) == 2 * 6
        both = rows[rows["criterion"].isin(["random", "greedy"])]
        assert both.groupby("removal")[["p", "p_holm"]].nunique().to_numpy().tolist() == [[1, 1]] * 2
        tested = rows[~((rows["criterion"] == "random") & (rows["baseline"] == "greedy"))].sort_values("p")
        by_hand = np.minimum(np.maximum.accumulate(tested["p"].to_numpy() * np.arange(10, 0, -1)), 1)
        assert tested["p_holm"].to_numpy() == pytest.approx(by_hand)


def test_criteria_are_compared_within_one_repair():
    """A repaired criterion minus random as it is would show what the repair does. All repairs are one family."""
    rng, parts = np.random.default_rng(1), []
    for repair, gain in (("none", 0), ("refit", 0.3)):
        for name, level in (("apoz", 0.5), ("random-1", 0.4)):
            ends = {s: [0.95, level + gain + rng.normal(0, 0.01)] for s in SEEDS}
            parts.append(curve(ends, name, repair=repair))
    table = paired(pd.concat(parts)).query("quantity == 'accuracy_area'")
    assert table["repair"].tolist() == ["none", "refit"] and table["comparisons"].tolist() == [2, 2]
    assert table["mean"].tolist() == pytest.approx([0.05, 0.05], abs=0.01)
    assert sorted(table["p_holm"]) == pytest.approx([2 * table["p"].min(), max(2 * table["p"].min(), table["p"].max())])


def test_p_is_not_defined_where_nothing_can_be_tested():
    same = pd.concat([curve({0: [0.9, 0.5], 1: [0.8, 0.4]}, name) for name in ("apoz", "random-1")])
    row = paired(same).query("quantity == 'accuracy_area'").iloc[0]
    assert (row["mean"], row["p"], row["p_holm"]) == (0, 1, 1)
    shifted = pd.concat([curve({0: [0.9, 0.7], 1: [0.8, 0.6]}, "chip"), same])
    row = paired(shifted).query("quantity == 'accuracy_area' and criterion == 'chip'").iloc[0]
    assert row["mean"] == pytest.approx(0.1) and np.isnan([row["p"], row["p_holm"]]).all()
    assert row["comparisons"] == 2, "it counts as a comparison although p is not defined"
    one = pd.concat([curve({0: [0.9, 0.5]}, name) for name in ("apoz", "random-1")])
    row = paired(one).iloc[0]
    assert row["seeds"] == 1 and np.isnan([row["p"], row["p_holm"], row["low"]]).all() and row["comparisons"] == 0
    assert paired(curve({0: [0.9, 0.5]}, "apoz")).empty


def rankings(**scores) -> pd.DataFrame:
    """Return rankings. scores: for each criterion, one list of channel scores per seed."""
    return pd.DataFrame(
        {"seed": seed, "criterion": name.replace("_draw_", "-"), "channel": channel, "score": score}
        for name, seeds in scores.items()
        for seed, values in enumerate(seeds)
        for channel, score in enumerate(values)
    )


def test_agreement_is_scipys_over_networks():
    a, b = [[1, 2, 3, 4], [4, 3, 2, 1]], [[1, 3, 2, 4], [1, 1, 2, 2]]
    table = agreement(rankings(apoz=a, chip=b)).set_index(["criterion", "other"])
    for method in ("kendalltau", "spearmanr"):
        expected = [getattr(stats, method)(one, other).statistic for one, other in zip(a, b)]
        name = "spearman" if method == "spearmanr" else "kendall"
        assert table.loc[("apoz", "chip"), f"{name}_mean"] == pytest.approx(np.mean(expected))
        assert table.loc[("chip", "apoz"), f"{name}_std"] == pytest.approx(np.std(expected, ddof=1))
        assert table.loc[("apoz", "apoz"), f"{name}_mean"] == pytest.approx(1)
    assert (table["seeds"] == 2).all()


def test_randoms_agreement_with_itself_is_that_of_different_draws():
    draws = {"random_draw_1": [[1, 2, 3]], "random_draw_2": [[3, 2, 1]], "random_draw_3": [[1, 2, 3]]}
    table = agreement(rankings(apoz=[[1, 2, 3]], **draws)).set_index(["criterion", "other"])["kendall_mean"]
    assert table["random", "random"] == pytest.approx(np.mean([-1, 1, -1]))
    assert table["apoz", "random"] == table["random", "apoz"] == pytest.approx(np.mean([1, -1, 1]))
    assert table["apoz", "apoz"] == 1
