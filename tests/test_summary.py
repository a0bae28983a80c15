"""The summary at the end of a run: its numbers are those of the tables, and it claims no more than they show."""

import re

import invented
import numpy as np
import pandas as pd
import pytest
from prunecurve.statistics.comparisons import paired
from prunecurve.statistics.means import by_network
from prunecurve.statistics.means import summarise as table_of
from prunecurve.statistics.repairs import losses
from prunecurve.statistics.summary_text import summary_text
from prunecurve.sweep.removal import REPAIRS
from prunecurve.text import WIDTH
from test_statistics import curve

SEEDS = range(5)
FIGURES = "results/d/figures/"


def study(levels: dict[str, float], seeds=SEEDS, noise=0.01, removal="structural") -> pd.DataFrame:
    """Curves over K = 0 and 1 that start at 0.9 and end at a level, with each network's own noise."""
    rng = np.random.default_rng(1)
    own = rng.normal(0, noise, (len(levels), 9))
    return pd.concat(
        curve({s: [0.9, level + own[i, s]] for s in seeds}, name, removal)
        for i, (name, level) in enumerate(levels.items())
    )


def sentences(table: pd.DataFrame, *others: pd.DataFrame) -> str:
    return " ".join(summary_text(table, FIGURES, *others).split())


def test_criteria_are_sorted_with_the_numbers_of_the_tables():
    table = study({"mean_activation": 0.5, "greedy": 0.8, "random-1": 0.6, "random-2": 0.7})
    lines = summary_text(table, FIGURES).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("criterion"))
    rows = [line.split() for line in lines[start + 2 : start + 5]]
    assert [row[0] for row in rows] == ["greedy", "random", "mean_activation"]
    greedy = table_of(table).set_index("criterion").loc["greedy"]
    difference = paired(table).query("quantity == 'balanced_accuracy_area' and baseline == 'random'").iloc[1]
    values = [greedy[f"balanced_accuracy_area_{part}"] for part in ("mean", "low", "high")]
    expected = "greedy {:.3f} [{:.3f}, {:.3f}]".format(*values)
    expected += " {:+.3f} [{:+.3f}, {:+.3f}] *".format(*difference[["mean", "low", "high"]])
    expected += " {:.1f} [0.0, 0.0]".format(greedy["largest_k_balanced_accuracy_mean"])
    assert " ".join(rows[0]) == expected
    assert rows[1][4] == "-", "random is not compared with itself"


def test_each_removal_has_a_table_and_lines_are_short():
    names = {"a_criterion_with_a_name_that_is_much_too_long_for_a_table": 0.7, "apoz": 0.4, "random-1": 0.5}
    both = [study(names, removal=removal) for removal in ("structural", "zero_weights")]
    text = summary_text(pd.concat(both), FIGURES)
    assert text.endswith(f"Figures: {FIGURES}\n")
    lines = text.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert [line for line in lines if line.startswith("Removal")] == ["Removal: structural", "Removal: zero_weights"]
    assert sum(line.startswith("a_criterion_with_a_name_t…  ") for line in lines) == 2


def test_the_controls_are_there():
    text = summary_text(study({"apoz": 0.5, "random-1": 0.6}), FIGURES)
    assert "accuracy 0.900 [0.900, 0.900], balanced accuracy 0.800 [0.800, 0.800]" in text
    assert "Always answering different:  accuracy 0.900, balanced accuracy 0.500" in text
    assert "Do not compare it between layers of different numbers of channels" in " ".join(text.split())
    text = summary_text(invented.study(10, seeds=1)[0], FIGURES, task="classes")
    assert "Always the largest class:  accuracy 0.100, balanced accuracy 0.100" in text


@pytest.mark.parametrize(
    ("level", "noise", "claim"),
    [
        (0.8, 0.01, "mean_activation, the reference experiment's criterion, beats random: area +0.1"),
        (0.4, 0.01, "mean_activation, the reference experiment's criterion, is worse than random: area −0.0"),
        (0.6, 0.2, "mean_activation, the reference experiment's criterion, does not clearly differ from random: area "),
    ],
)
def test_whether_the_reference_criterion_beats_random(level, noise, claim):
    table = study({"mean_activation": level, "random-1": 0.6}, noise=noise)
    text = sentences(table)
    assert claim in text
    assert ("This holds after Holm's correction (p = " in text) is (noise < 0.1)
    # The mark of a difference, and what it means.
    assert (re.search(r"^mean_activation .*\] \*", summary_text(table, FIGURES), re.M) is not None) is (noise < 0.1)
    assert ("*: differs from random, p < 0.05 after Holm" in text) is (noise < 0.1)


def test_a_difference_that_correction_takes_away_is_not_claimed():
    """An uncorrected interval without zero, p = 0.02, and twenty comparisons."""
    rng = np.random.default_rng(0)
    others = {f"c{i}": 0.6 + rng.normal(0, 0.01) for i in range(20)}
    table = study({"random-1": 0.6, **others}, noise=0.03)
    values = by_network(table).query("criterion == 'random'")["accuracy_area"].to_numpy()
    shift = np.array([0.02, 0.04, 0.06, 0.02, 0.001])
    own = curve({s: [0.9, 2 * (values[s] + shift[s]) - 0.9] for s in SEEDS}, "mean_activation")
    text = sentences(pd.concat([table, own]))
    assert "is above random on average: area +0.028 [+0.0" in text
    assert "This does not hold after Holm's correction" in text and "beats random:" not in text


@pytest.mark.parametrize(
    ("levels", "seeds", "reason"),
    [
        ({"apoz": 0.5, "random-1": 0.4}, SEEDS, "cannot be said: the study lacks mean_activation."),
        ({"apoz": 0.5, "chip": 0.4}, SEEDS, "cannot be said: the study lacks mean_activation and random."),
        ({"mean_activation": 0.5, "random-1": 0.4}, [0], "cannot be said from one network (difference +0.05"),
        ({"mean_activation": 0.5, "random-1": 0.4}, SEEDS, "equal on all of them, so p is not defined."),
    ],
)
def test_what_the_data_cannot_show_is_said(levels, seeds, reason):
    assert reason in sentences(study(levels, seeds, noise=0))


def test_the_best_criterion_is_named_and_its_lead_not_overstated():
    assert "Largest area: apoz; its lead over chip is +0.0" in sentences(study({"chip": 0.5, "apoz": 0.7}))
    assert "not corrected for picking the two best" in sentences(study({"chip": 0.5, "apoz": 0.7}))
    assert "not a clear lead" in sentences(study({"chip": 0.6, "apoz": 0.61}, noise=0.1))
    assert "One network cannot show whether" in sentences(study({"chip": 0.6, "apoz": 0.7}, [0]))
    assert "apoz is the only criterion." in sentences(study({"apoz": 0.7}))


def test_one_network_has_numbers_without_intervals():
    table = study({"mean_activation": 0.5, "random-1": 0.4}, [0])
    text, last = summary_text(table, FIGURES), table["k"].max()
    assert "One network" in text and "[" not in text and "nan" not in text and "*" not in text
    assert f"K = 0 to {last}." in text
    sparse = pd.concat([table, table[table["k"] == last].assign(k=last + 3)])
    assert f"{last + 2} values of K from 0 to {last + 3}." in summary_text(sparse, FIGURES)


def repaired(ends: dict[tuple[str, str], list[list[float]]]) -> pd.DataFrame:
    """Return curves over K = 0 and 1 from the balanced accuracy of each network, by criterion and repair."""
    return pd.concat(
        curve({seed: [value + 0.1 for value in values] for seed, values in enumerate(networks)}, name, repair=repair)
        for (name, repair), networks in ends.items()
    )


# Two networks, unpruned 0.9 and 0.8, with biases fitted 0.92 and 0.84.
HALF = {
    ("l1_norm", "none"): [[0.9, 0.5], [0.8, 0.4]],
    ("l1_norm", "bias"): [[0.92, 0.6], [0.84, 0.62]],
    ("l1_norm", "refit"): [[0.9, 0.7], [0.8, 0.66]],
    ("l1_norm", "refit_bias"): [[0.92, 0.8], [0.84, 0.76]],
}


@pytest.mark.parametrize(
    ("repairs", "expected"),
    [
        # The areas: 0.70 and 0.60 as it is, 0.76 and 0.73, 0.80 and 0.73, 0.86 and 0.80.
        ("none bias refit refit_bias", {"total": 0.23, "decision": 0.095, "features": 0.085, "left": 0.05}),
        ("bias none refit_bias", {"total": 0.23, "decision": 0.095, "features": 0.085, "left": 0.05}),
        ("none refit_bias", {"total": 0.23, "repaired": 0.18, "left": 0.05}),
        ("none refit refit_bias", {"total": 0.23, "repaired": 0.18, "left": 0.05}),
        ("none bias", {"total": 0.23, "decision": 0.095, "left": 0.135}),
        # A refit alone leaves the biases: its control is the unpruned network as it is.
        ("none refit", {"total": 0.2, "repaired": 0.115, "left": 0.085}),
        ("none", {}),
        ("bias refit_bias", {}),
    ],
)
def test_what_a_loss_consists_of(repairs, expected):
    table = losses(repaired({("l1_norm", repair): HALF["l1_norm", repair] for repair in repairs.split()}))
    if not expected:
        assert table.empty
        return
    (row,) = table.to_dict("records")
    assert {name.removesuffix("_mean"): row[name] for name in row if name.endswith("_mean")} == pytest.approx(expected)
    # Student's t for one degree of freedom; the networks' total losses are 0.22 and 0.24, or 0.2 and 0.2.
    half = 12.7062 * (0.01 if row["total_mean"] > 0.2001 else 0)
    assert (row["total_low"], row["total_high"]) == pytest.approx((row["total_mean"] - half, row["total_mean"] + half))


def test_draws_of_random_are_one_loss_and_the_smallest_loss_is_first():
    draws = {("random-1", "none"): [[0.9, 0.7], [0.8, 0.6]], ("random-2", "none"): [[0.9, 0.9], [0.8, 0.8]]}
    draws |= {("random-1", "refit"): [[0.9, 0.8], [0.8, 0.7]], ("random-2", "refit"): [[0.9, 0.9], [0.8, 0.8]]}
    table = losses(repaired({key: HALF[key] for key in HALF if key[1] in ("none", "refit")} | draws))
    assert table["criterion"].tolist() == ["random", "l1_norm"]
    assert table["total_mean"].tolist() == pytest.approx([0.05, 0.2])
    assert table["repaired_mean"].tolist() == pytest.approx([0.025, 0.115])


def test_the_summary_says_what_the_losses_are_and_whether_a_criterion_still_beats_random():
    """The criterion is better than random as it is; refitted, both are the same."""
    rng, parts = np.random.default_rng(0), []
    for repair, own, chance in (("none", 0.7, 0.5), ("refit_bias", 0.8, 0.8)):
        for name, level in (("a_criterion_with_a_name_that_is_much_too_long", own), ("random-1", chance)):
            ends = {s: [0.9 + (repair != "none") / 20, level + rng.normal(0, 0.01)] for s in SEEDS}
            parts.append(curve(ends, name, repair=repair))
    table = pd.concat([*parts, study({"apoz": 0.4, "random-1": 0.5}, removal="zero_weights")])
    text = summary_text(table, FIGURES)
    assert max(map(len, text.splitlines())) <= WIDTH
    headings = [line for line in text.splitlines() if line.startswith("Removal")]
    refitted = "Removal: structural; repair: refit_bias (readers refitted, biases fitted)"
    assert headings == ["Removal: structural", refitted, "Removal: zero_weights"]
    text = " ".join(text.split())
    assert "What the loss of each criterion consists of (structural removal) criterion total loss regained left" in text
    row = losses(table).set_index("criterion").loc["random"] * 100
    assert "random {:.1f} [{:.1f}, {:.1f}]".format(*row[["total_mean", "total_low", "total_high"]]) in text
    assert (
        "balanced accuracy of the unpruned network with its biases fitted, minus the criterion's area as it is" in text
    )
    assert "As it is: 1 of 1 criteria beat random after Holm's correction (largest difference: a_criterion" in text
    assert "Readers refitted, biases fitted: no criterion beats random after Holm's correction" in text
    assert "Unpruned network: accuracy 0.900" in text and "Unpruned, biases fitted: accuracy 0.950" in text
    one = " ".join(summary_text(table[table["seed"] == 0], FIGURES).split())
    assert "As it is: one network cannot show whether a criterion beats random" in one and "nan" not in one
    assert "What the loss" not in summary_text(table[table["repair"] == "none"], FIGURES)
    assert "beat random" not in summary_text(table[table["criterion"] != "random-1"], FIGURES)


def test_the_widest_table_of_losses_fits_in_a_line():
    names = ["a_criterion_with_a_name_that_is_much_too_long", "random-1"]
    table = invented.study_of_pairs(names, seeds=5, ks=3, repairs=REPAIRS)
    text = summary_text(table.assign(balanced_accuracy=0.5 + table["balanced_accuracy"] / 3), FIGURES)
    assert max(map(len, text.splitlines())) <= WIDTH and "decision: what fitted biases regain" in text


def shared(*shares: float) -> pd.DataFrame:
    """Two networks: their shares of training, validation and test images, and of test images in training images."""
    splits = [("train", "train"), ("val", "val"), ("test", "test"), ("test", "train")]
    rows = [
        (*pair, share + change) for pair, share in zip(splits, shares) for change in ((-0.1, 0.1) if share else (0,))
    ]
    return pd.DataFrame(rows, columns=["split", "other_split", "share"])


def test_what_networks_share_is_said():
    table = study({"mean_activation": 0.5, "random-1": 0.4})
    text = " ".join(summary_text(table, FIGURES, shared(0.56, 0.3, 0.17, 0.55)).split())
    assert "two networks share 56 % of their training images and 17 % of their test images on average; 55 % of" in text
    assert "no two networks share training or test images" in summary_text(table, FIGURES, shared(0, 0.3, 0, 0))
    assert "share 0 % of their training images and 20 %" in sentences(table, shared(0, 0.3, 0.2, 0))
    text = summary_text(table, FIGURES)
    assert "Images:" not in text
    assert summary_text(table, FIGURES, warning="WARNING: nothing.") == "WARNING: nothing.\n\n" + text
