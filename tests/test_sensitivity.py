"""What each layer can lose, against a plain computation."""

import numpy as np
import pandas as pd
import pytest
from prunecurve.statistics.sensitivity import sensitivity_table, sensitivity_text
from scipy import stats

# Balanced accuracy at K = 0 … 4 of three networks: up to K = 2, 1 and 4 it is within one point of K = 0.
CURVES = ([0.9, 0.9, 0.892, 0.8, 0.95], [0.8, 0.795, 0.7, 0.8, 0.5], [0.7, 0.71, 0.695, 0.69, 0.691])
LARGEST = (2, 1, 4)


def table(layers=("late", "early"), orders=("l1_norm",)) -> pd.DataFrame:
    """Return a sensitivity.csv in which each removed channel frees 10 of 100 parameters and 3 of 60 MACs."""
    rows = [
        {
            "dataset": "d",
            "seed": seed,
            "layer": layer,
            "criterion": order,
            "removal": "structural",
            "repair": "none",
            "k": k,
        }
        | {"channels_left": 5 - k, "balanced_accuracy": value, "params": 100 - 10 * k, "macs": 60 - 3 * k}
        for layer in layers
        for order in orders
        for seed, curve in enumerate(CURVES)
        for k, value in enumerate(curve)
    ]
    return pd.DataFrame(rows)


def test_the_largest_k_and_what_it_frees():
    found = sensitivity_table(table())
    assert found["layer"].tolist() == ["late", "early"], "in the order of the network"
    # In whatever order the K are.
    pd.testing.assert_frame_equal(sensitivity_table(table().sort_values("k", ascending=False, kind="stable")), found)
    row = found.iloc[0]
    half = stats.t.ppf(0.975, 2) * stats.sem(LARGEST)
    assert row["largest_k_mean"] == pytest.approx(np.mean(LARGEST))
    assert (row["largest_k_low"], row["largest_k_high"]) == (max(0, np.mean(LARGEST) - half), 4)
    assert row["share_removed_mean"] == pytest.approx(np.mean(LARGEST) / 5)
    assert row["params_freed_mean"] == pytest.approx(np.mean(LARGEST) / 10)
    assert row["macs_freed_mean"] == pytest.approx(np.mean(LARGEST) * 3 / 60)
    assert (row["channels"], row["seeds"], row["draws"]) == (5, 3, 1)


def test_random_orders_of_a_network_are_averaged_first():
    drawn = table(orders=("random-1", "random-2"))
    # In the second draw nothing can be lost.
    drawn.loc[(drawn["criterion"] == "random-2") & (drawn["k"] > 0), "balanced_accuracy"] = 0.0
    row = sensitivity_table(drawn).iloc[0]
    assert (row["criterion"], row["draws"], row["seeds"]) == ("random", 2, 3)
    assert row["largest_k_mean"] == pytest.approx(np.mean(LARGEST) / 2)


def test_the_text_has_one_line_per_layer_and_criterion():
    text = sensitivity_text(sensitivity_table(table()), "results/d/figures/", "WARNING: nothing.")
    assert text.startswith("WARNING: nothing.\n\nd: ")
    assert max(map(len, text.splitlines())) <= 100
    assert "early         5  l1_norm    as it is  2.3 [0.0, 4.0]    46.7 %      23.3 %  11.7 %\n" in text
    repaired = sensitivity_text(sensitivity_table(table().assign(repair="refit_bias")), "results/d/figures/")
    assert "early         5  l1_norm    refitted, biases  2.3 [0.0, 4.0]" in repaired
    assert text.endswith("Figures: results/d/figures/\n")
    one = sensitivity_text(sensitivity_table(table().query("seed == 0")), "results/d/figures/")
    assert "One network (seed)." in " ".join(one.split()) and "nan" not in one and "[" not in one
    assert "Do not compare it between layers of different numbers of channels or with a different sweep.ks" in " ".join(
        text.split()
    )
