"""Retraining: its schedule and epochs, the choice of learning rates, orders before and after, a small study."""

import copy
import dataclasses
import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TINY, Study
from invented import retrained
from prunecurve.config.check import check
from prunecurve.config.layers import Layers
from prunecurve.data.tasks.pairs import inputs as pairs
from prunecurve.errors import StudyError
from prunecurve.model.network_file import built, prepare_torch
from prunecurve.model.parameters import Network
from prunecurve.repair.learning_rates import chosen_rates
from prunecurve.repair.retraining import Retraining, same_compute
from prunecurve.statistics.means import read_table
from prunecurve.statistics.recovery import against_random, agreement, recovery_table, recovery_text
from prunecurve.study import Study as StudyOfConfig
from prunecurve.study import recovery
from prunecurve.tables import read_rows
from prunecurve.training.training import train
from scipy import stats
from statsmodels.stats.multitest import multipletests
from test_plans import NET
from test_training import CPU, RECIPE, bars
from torch import nn

# Without dropout, augmentation and class weights, so that a training can be written out.
PLAIN = RECIPE.model_copy(update={"swap": False, "epochs": 3})
SHAPE = {"channels": [8, 8], "hidden": [16, 8], "dropout": 0.0}

# ---- trainings


@pytest.mark.parametrize(("epochs", "steps"), [(0.25, 5), (1, 19), (2.4, 46), (0.001, 1)])
def test_a_training_can_end_within_an_epoch(epochs, steps):
    """Written out here: AdamW with a one-cycle schedule over the steps, on shuffled batches; the last weights count."""
    prepare_torch("cpu", 1)
    # With exchanged labels, the first epoch is the best one on the validation pairs.
    training, validation = bars(0), dataclasses.replace(bars(1), labels=1 - bars(1).labels)
    start = built(Network(**SHAPE), training.numbers, 0)
    model = copy.deepcopy(start).to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.01, total_steps=steps)
    random = np.random.default_rng(np.random.SeedSequence(7, spawn_key=tuple(b"batches")))
    batches = [b for _ in range(math.ceil(epochs)) for b in torch.from_numpy(random.permutation(600)).split(32)]
    for chosen in batches[:steps]:
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(training.inputs(chosen)), training.labels[chosen]).backward()
        optimiser.step()
        schedule.step()
    trained, rows = train(
        copy.deepcopy(start), PLAIN, training, validation, 7, CPU, pairs, epochs=epochs, keep_last=True
    )
    assert [row["kept"] for row in rows] == [*[0] * (math.ceil(epochs) - 1), 1]
    for name, value in model.state_dict().items():
        torch.testing.assert_close(trained.state_dict()[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_each_number_of_epochs_is_a_training_from_the_start():
    prepare_torch("cpu", 1)
    training, validation = bars(0), bars(1)
    start = built(Network(**SHAPE), training.numbers, 0).eval()
    before = copy.deepcopy(start.state_dict())
    retraining = Retraining(PLAIN, training, validation, 7, CPU, pairs)
    all_at_once = {epochs: model.state_dict() for epochs, model in retraining.networks(start, [0, 0.25, 1], 0.005, "")}
    (_, alone), *_ = retraining.networks(start, [1], 0.005, "")
    assert all(torch.equal(value, all_at_once[0][name]) for name, value in before.items())
    assert all(torch.equal(value, all_at_once[1][name]) for name, value in alone.state_dict().items())
    changed = [all_at_once[epochs]["linear1.weight"] for epochs in (0, 0.25, 1)]
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(changed, 2))


def test_the_epochs_of_the_same_compute():
    assert same_compute(8, macs=75, macs_of_whole=100) == pytest.approx(10 + 2 / 3)
    assert same_compute(8, macs=10, macs_of_whole=100) == 16


def test_learning_rates_are_chosen_by_balanced_accuracy_and_on_a_tie_by_the_log_loss():
    scores = {
        ("none", "0.1"): [(0.7, 0.2), (0.7, 0.2)],
        ("none", "0.2"): [(0.9, 0.4), (0.5, 0.1)],
        ("none", "0.3"): [(0.6, 0.3), (0.8, 0.2)],
        ("scratch", "0.1"): [(0.6, 0.1), (0.6, 0.1)],
        ("scratch", "0.2"): [(0.5, 0.9), (0.9, 0.9)],
    }
    rows = chosen_rates(
        {
            "start": start,
            "k": "3",
            "epochs": "4",
            "learning_rate": rate,
            "balanced_accuracy": repr(a),
            "log_loss": repr(b),
        }
        for (start, rate), networks in scores.items()
        for a, b in networks
    )
    assert [row["chosen"] for row in rows] == [1, 0, 0, 0, 1]
    assert [row["balanced_accuracy"] for row in rows] == pytest.approx([0.7, 0.7, 0.7, 0.6, 0.7])
    assert {row["seeds"] for row in rows} == {2}


# ---- what a study consists of


def of_config(**config) -> StudyOfConfig:
    return StudyOfConfig(check(config), lambda: None)


def test_values_of_k():
    assert recovery.retrained_ks(of_config()) == [16, 32, 48, 56, 60, 63]
    narrow = of_config(network={"channels": [4, 4, 5]})
    assert recovery.retrained_ks(narrow) == [1, 2, 3, 4], "equal values are listed once"
    assert recovery.retrained_ks(of_config(network={"channels": [4, 4, 2]})) == [1]
    assert recovery.retrained_ks(of_config(recovery={"ks": [9, 3]})) == [3, 9]
    for ks, message in (([64], "K = 64 is out of range; allowed: 1 to 63"), ([0], "recovery.ks: "), ([3, 3], "twice")):
        with pytest.raises(StudyError, match=message):
            of_config(recovery={"ks": ks})
    with pytest.raises(StudyError, match=r"recovery\.learning_rates: "):
        of_config(recovery={"learning_rates": [0.1, 0.2]})


def test_files_and_epochs():
    one = of_config(seeds=[0, 1, 2, 3], ranking={"criteria": ["l1_norm", "random"]}, recovery={"ks": [2, 4]})
    files = recovery.retrained_files(one, [3])
    assert len(files) == len(set(files)) == 2 * 3 * 2 + 2 + 1
    assert "results/digits/seed3/conv3/recovery/random-2/refit_bias/k4.csv" in files
    assert recovery.budgets(one.config) == [0, 0.25, 1, 4]
    assert recovery.budgets(of_config(recovery={"epochs": 1}).config) == [0, 0.25, 1]
    assert len(recovery.trial_files(one)) == 3 * 3, "learning rates are chosen on the first three networks"
    more = of_config(recovery={"ks": [2, 4, 7]})
    assert recovery.trial_k(64) == 48 and recovery.trial_files(more) == recovery.trial_files(of_config())


def test_a_layer_that_torch_pruning_cannot_cut_has_no_recovery():
    row = {"layer": "conv", "kind": "Conv2d", "group": "0", "channels": "6", "backend": "torch", "refused": ""}
    layers = Layers.read([row | {"verified_by": "perturbation"}])
    one = StudyOfConfig(check({"network": {"factory": "net.py:net"}}), lambda: layers)
    with pytest.raises(StudyError, match="recovery: Torch-Pruning, which makes the networks to retrain, cannot follow"):
        recovery.retrained_files(one, [0])


# ---- statistics

CRITERIA = ("apoz", "l1_norm", "greedy", "random")


def tau_b(x, y) -> float:
    """Kendall 1945: (concordant − discordant) / √((pairs − ties in x) (pairs − ties in y))."""
    signs = [(np.sign(a - b), np.sign(c - d)) for (a, c), (b, d) in itertools.combinations(zip(x, y), 2)]
    return sum(a * b for a, b in signs) / math.sqrt(sum(a != 0 for a, _ in signs) * sum(b != 0 for _, b in signs))


def test_agreement_is_kendalls_tau_between_the_means_of_criteria():
    table, result = retrained(), agreement(retrained())
    assert len(result) == (7 + 6 + 3) * 3 and set(result["criteria"]) == {4}
    # Without the rounding of sums, which would break ties.
    means = table.groupby(["seed", "k", "start", "epochs", "criterion"])["balanced_accuracy"].mean().round(9)

    def taus(k, *states):
        return np.array(
            [tau_b(*(means[seed, k, start, epochs][list(CRITERIA)] for start, epochs in states)) for seed in range(4)]
        )

    for states in (
        (("none", 0), ("refit_bias", 3)),
        (("refit_bias", 0), ("none", 0.25)),
        (("none", 1), ("refit_bias", 1)),
    ):
        keys = ["start", "epochs", "other_start", "other_epochs"]
        rows = result[(result[keys] == [value for state in states for value in state]).all(axis=1)]
        by_k = rows.dropna(subset="k").set_index("k")
        each = {k: taus(k, *states) for k in (2, 5)}
        for k in each:
            assert by_k.loc[k, "tau_mean"] == pytest.approx(each[k].mean())
        over_k = (each[2] + each[5]) / 2
        (row,) = rows[rows["k"].isna()].to_dict("records")
        low, high = stats.t.interval(0.95, 3, over_k.mean(), stats.sem(over_k))
        expected = over_k.mean(), max(low, -1), min(high, 1), 2
        assert (row["tau_mean"], row["tau_low"], row["tau_high"], row["ks"]) == pytest.approx(expected)


def test_where_all_criteria_are_equal_tau_is_not_defined():
    table = retrained()
    constant = (table["k"] == 5) & (table["seed"] == 1) & (table["epochs"] == 0) & (table["start"] == "none")
    result = agreement(table.assign(balanced_accuracy=table["balanced_accuracy"].mask(constant, 0.5)))
    as_it_is = result[(result["start"] == "none") & (result["epochs"] == 0)]
    assert as_it_is.loc[as_it_is["k"] == 5, "tau_mean"].isna().all()
    assert as_it_is.loc[as_it_is["k"].isna(), "ks"].tolist() == [1] * 7
    text = recovery_text(table, rates(), "figures/")
    assert "With 4 criteria, one exchanged pair changes τ by 0.33." in " ".join(text.split())
    assert agreement(retrained(criteria=["random"])).empty


def test_criteria_minus_random_are_corrected_for_all_starts_and_epochs():
    table, result = retrained(), against_random(retrained())
    assert len(result) == 2 * 4 * 3 and set(result["comparisons"]) == {24}
    means = table.groupby(["start", "epochs", "criterion", "order", "seed"])["balanced_accuracy"].mean()
    means = means.groupby(["start", "epochs", "criterion", "seed"]).mean()
    for row in result.to_dict("records"):
        own, random = (means[row["start"], row["epochs"], name] for name in (row["criterion"], "random"))
        assert row["p"] == pytest.approx(stats.ttest_rel(own, random).pvalue)
        assert row["mean"] == pytest.approx((own - random).mean())
    assert result["p_holm"].to_numpy() == pytest.approx(multipletests(result["p"], method="holm")[1])
    assert against_random(retrained(criteria=["apoz", "l1_norm"]).query("criterion != 'random'")).empty


def rates() -> pd.DataFrame:
    keys = itertools.product((*recovery.STARTS, "scratch"), (0.1, 0.2, 0.3))
    table = pd.DataFrame(keys, columns=["start", "learning_rate"])
    return table.assign(k=6, epochs=3, seeds=3, balanced_accuracy=0.8, log_loss=0.2, chosen=[0, 1, 0] * 3)


def test_the_text_and_the_table_of_one_network():
    one = retrained(seeds=1)
    table = recovery_table(one)
    assert table["balanced_accuracy_low"].isna().all() and set(table.loc[table["criterion"] == "random", "draws"]) == {
        2
    }
    random = one.query("criterion == 'random' and k == 5 and start == 'none' and epochs == 1")["balanced_accuracy"]
    row = table.query("criterion == 'random' and k == 5 and start == 'none' and epochs == 1").iloc[0]
    assert row["balanced_accuracy_mean"] == pytest.approx(random.mean())
    text = recovery_text(one, rates(), "figures/")
    assert "One network cannot show whether a criterion beats random orders." in text
    assert "0.8000*" in text and "over epochs of retraining, mean over K = 2, 5\n" in text
    assert "from scratch, same compute (9.33)" in " ".join(text.split())
    assert "[" not in text, "one network has no intervals"


# ---- a study

CONFIG = TINY.replace("[mean_activation, l1_norm]", "[l1_norm, random], random_draws: 1").replace(
    "[none]", "[none, refit_bias]"
)
ASKED = "recovery={ks: [2, 5], epochs: 1, learning_rates: [0.001, 0.003, 0.01]}"
MORE = ASKED.replace("[2, 5]", "[2, 5, 7]")
# Metrics that depend on the size of the logits, too.
COMPARED = ["accuracy", "balanced_accuracy", "auroc", "log_loss"]


@pytest.mark.snakemake
def test_the_target(tmp_path):
    study = Study(tmp_path / "study", CONFIG)
    output = study.run("recovery", "--config", ASKED).stdout
    text = study.path("recovery.txt").read_text()
    assert all(line in output for line in text.splitlines())
    assert "train seed 0, l1_norm, K 5, refit_bias, 0.25 epochs: epoch 1/1" in output
    assert study.path("figures/recovery.png").exists() and not study.path("curve.csv").exists()
    assert study.plan("recovery", "--config", ASKED) == {"recovery": 1}
    # A K that is added replaces nothing, also in the choice of the learning rates.
    planned = study.plan("recovery", "--config", MORE)
    assert (planned["retrain"], planned["train_from_scratch"]) == (2 * 2, 1)
    assert not {"try_learning_rates", "choose_learning_rates", "retrain_unpruned"} & set(planned)
    refused = study.run("recovery", "--config", ASKED.replace("epochs: 1", "epochs: 2"), succeed=False).stdout
    assert "recovery.epochs: 1; asked for: 2" in refused

    table = read_table(study.path("recovery.csv"))
    assert len(table) == 2 * 2 * 2 * 3 + 2 * 2 + 3
    retrained = table[table["criterion"].isin(["l1_norm", "random"])]
    assert set(retrained["order"]) == {"l1_norm", "random-1"} and set(retrained["epochs"]) == {0, 0.25, 1}
    assert retrained["learning_rate"].isna().equals(retrained["epochs"] == 0)

    # Before the retraining, the networks are those of the sweep.
    study.run("--until", "aggregate", "--config", ASKED)
    curve = read_table(study.path("curve.csv")).rename(columns={"criterion": "order", "repair": "start"})
    before = retrained[retrained["epochs"] == 0].merge(
        curve, on=["seed", "order", "start", "k"], suffixes=("", "_sweep")
    )
    assert len(before) == 2 * 2 * 2
    for name in COMPARED:
        assert before[name].to_numpy() == pytest.approx(before[f"{name}_sweep"].to_numpy(), abs=1e-6), name
    assert before[["params", "macs"]].equals(
        before[["params_sweep", "macs_sweep"]].set_axis(["params", "macs"], axis=1)
    )
    unpruned = table[table["criterion"] == "unpruned"]
    assert unpruned["epochs"].tolist() == [0, 0.25, 1]
    assert unpruned["auroc"].iloc[0] == pytest.approx(curve.loc[curve["k"] == 0, "auroc"].iloc[0], abs=1e-6)

    # From scratch: as many epochs as the unpruned network (2), and as much compute.
    scratch = table[table["criterion"] == "scratch"]
    assert scratch["start"].tolist() == ["scratch", "scratch_same_compute"] * 2
    macs = scratch["macs"].to_numpy()[::2]
    times = np.minimum(curve.loc[curve["k"] == 0, "macs"].iloc[0] / macs, 2)
    assert scratch["epochs"].tolist() == pytest.approx([2, 2 * times[0], 2, 2 * times[1]])

    # One learning rate per kind of start, of the validation inputs at three quarters of the channels.
    trials = read_rows(study.path("seed0/conv3/recovery/learning_rates/refit_bias.csv"))
    assert [row["k"] for row in trials] == ["6"] * 3 and {row["criterion"] for row in trials} == {"l1_norm"}
    assert sum(int(trials[0][name]) for name in ("tp", "fn")) == 80, "one same pair of each validation image"
    best = max(trials, key=lambda row: (float(row["balanced_accuracy"]), -float(row["log_loss"])))
    used = retrained.loc[(retrained["start"] == "refit_bias") & (retrained["epochs"] > 0), "learning_rate"]
    assert set(used) == {float(best["learning_rate"])}

    # The same arguments give the same bytes.
    file = study.path("seed0/conv3/recovery/l1_norm/refit_bias/k5.csv")
    content = file.read_bytes()
    file.unlink()
    study.run(str(file.relative_to(study.folder)), "--config", ASKED)
    assert file.read_bytes() == content

    # An archive of the study holds the table and draws its figure.
    study.run("archive/kept/manifest.json", "--config", ASKED)
    assert (study.folder / "archive" / "kept" / "recovery.csv").exists()
    study.run("figures", "--config", "archive=kept")
    assert (study.folder / "results" / "archive" / "kept" / "figures" / "recovery.png").exists()


OF_USER = """
task: classes
seeds: [0, 1]
images: {train: 300, val: 150, test: 100}
network: {factory: 'net.py:net', arguments: {width: 4}}
layer: outer
training: {epochs: 1, batch_size: 32, learning_rate: 0.02, require: 0}
ranking: {criteria: [l1_norm, taylor_activation, random], random_draws: 2}
sweep: {repairs: [none, refit_bias]}
recovery: {ks: [2], epochs: 1}
figures: {dpi: 80}
"""


@pytest.mark.snakemake
def test_a_layer_of_a_residual_network(tmp_path):
    study = Study(tmp_path / "study", OF_USER)
    (study.folder / "net.py").write_text(NET)
    study.run("recovery", "results/digits/curve.csv")
    table, curve = read_table(study.path("recovery.csv")), read_table(study.path("curve.csv"))
    assert not [name for name in table if name.startswith("correct_")]
    before = table.query("epochs == 0 and k == 2").sort_values(["seed", "order", "start"])
    rows = curve.query("k == 2").sort_values(["seed", "criterion", "repair"])
    assert len(before) == 2 * 4 * 2
    difference = abs(before["log_loss"].to_numpy() - rows["log_loss"].to_numpy())
    repaired = before["start"].to_numpy() == "refit_bias"
    # `last` reads behind `outer`, which reads the channels too: it is refitted to what the refitted `outer` gives it.
    assert difference[~repaired].max() < 1e-5 and 1e-5 < difference[repaired].max() < 0.01
    comparisons = read_table(study.path("recovery_comparisons.csv"))
    assert len(comparisons) == 2 * 3 * 2 and set(comparisons["seeds"]) == {2}
    # Learning rates are chosen again if a network is added to two: all retrainings depend on them.
    planned = study.plan("recovery", "--config", "seeds=[0, 1, 2]")
    assert planned["try_learning_rates"] == 3 and planned["choose_learning_rates"] == 1
    refused = study.run("recovery", "--config", "layer=head", succeed=False).stdout
    assert "layer: head cannot be pruned" in refused
