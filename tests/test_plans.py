"""Plans for all layers: the cost of networks that lose channels of several layers, the choice of K, a small study."""

import itertools
import re

import numpy as np
import pytest
import torch
from conftest import Study
from hypothesis import given
from hypothesis import strategies as st
from prunecurve.errors import StudyError
from prunecurve.tables import read_order, read_rows
from prunecurve.plan.cost_model import cost_model, random_removals, require_counted
from prunecurve.plan.costs import Costs, Operation, Side, load_costs, save_costs
from prunecurve.graph.channels import Channels
from prunecurve.graph.layer_table import layer_table
from prunecurve.graph.layers import PrunableLayer
from prunecurve.plan.text import plan_text
from prunecurve.plan.choice import (
    Curve,
    choose,
    curves_of,
    for_budget,
    for_tolerance,
    most_of,
    predicted_loss,
    uniform,
)
from prunecurve.statistics.means import read_table
from prunecurve.verification.surgery import parameters_and_macs, structural
from test_figures import planned
from test_layers import SHAPE, inputs, network
from torch import nn

# ---- costs of networks


def first_of_groups(model: nn.Module, shape) -> list[str]:
    """Return the first convolution of each group, as the workflow does."""
    groups: dict[int, str] = {}
    for row in layer_table(model, shape):
        if not row["refused"] and row["kind"] == "Conv2d":
            groups.setdefault(row["group"], row["layer"])
    return list(groups.values())


CASES = ["branches", "functions", "gates", "shared", "siamese", "skips", "norms", "plain"]


@pytest.mark.parametrize("name", CASES)
def test_costs_are_those_of_smaller_networks(name, tmp_path):
    """Residual sums, depthwise convolutions, concatenations, a layer that runs twice, flattened maps."""
    model = network(name)
    costs, whole = cost_model(model, SHAPE, first_of_groups(model, SHAPE))
    assert not whole
    save_costs(tmp_path / "costs.csv", costs)
    costs, example = load_costs(tmp_path / "costs.csv"), torch.zeros(1, *SHAPE)
    for removed in random_removals(costs):
        ks = {layer: len(channels) for layer, channels in removed.items()}
        assert costs.both(ks) == parameters_and_macs(structural(model, removed, example), example)
    assert costs.both() == parameters_and_macs(model, example)
    # One layer alone is described elsewhere.
    layer, channels = next(iter(costs.channels.items()))
    candidates = np.arange(channels)
    totals = [costs.total("macs", {**ks, layer: k}) for k in candidates]
    assert (costs.total("macs", ks) + costs.change("macs", ks, layer, candidates)).tolist() == totals


def test_a_network_of_another_size_than_predicted_is_an_error():
    costs = Costs({"a": 4}, [Operation("a.weight", 9, 90, (Side(4, {"a": 1}),))])
    require_counted(costs, {"a": 1}, {"params": 27, "macs": 270}, "plan")
    with pytest.raises(StudyError, match="macs: 270 predicted, 271 counted"):
        require_counted(costs, {"a": 1}, {"params": 27, "macs": 271}, "plan")


class Overlapping(nn.Module):
    """The channels of `both` are those of `one` and of `other`."""

    def __init__(self):
        super().__init__()
        self.one, self.other, self.both = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 3, 1), nn.Conv2d(3, 5, 1)
        self.last, self.head = nn.Conv2d(5, 4, 1), nn.Linear(4, 2)

    def forward(self, x):
        x = torch.relu(torch.cat([self.one(x), self.other(x)], 1) + self.both(x))
        return self.head(self.last(x).mean((2, 3)))


def test_a_layer_that_shares_channels_with_others_keeps_them():
    costs, whole = cost_model(Overlapping().eval(), SHAPE, ["one", "other", "both", "last"])
    assert list(costs.channels) == ["one", "other", "last"]
    assert list(whole) == ["both"] and "together with some of one" in whole["both"]


@pytest.mark.parametrize("name", ["branches", "gates", "skips"])
def test_surgery_on_all_layers_is_masking_where_the_channels_are_read(name):
    model = network(name)
    layers = first_of_groups(model, SHAPE)
    rng = np.random.default_rng(0)
    analysis = Channels(model, SHAPE)
    groups = {layer: PrunableLayer(model, layer, SHAPE, analysis).group for layer in layers}
    removed = {
        layer: np.sort(rng.permutation(group.channels)[: group.channels // 2]) for layer, group in groups.items()
    }
    hooks = []
    for layer, group in groups.items():
        for reader, numbers in group.readers.items():
            gone = torch.from_numpy(np.isin(numbers, removed[layer]))

            def masked(module, given, gone=gone):
                keep = (~gone).float()
                return (given[0] * (keep[:, None, None] if isinstance(module, nn.Conv2d) else keep),)

            hooks.append(model.get_submodule(reader).register_forward_pre_hook(masked))
    with torch.inference_mode():
        expected = model(inputs())
    for hook in hooks:
        hook.remove()
    small = structural(model, removed, inputs()[:1])
    with torch.inference_mode():
        torch.testing.assert_close(small(inputs()), expected, rtol=1e-4, atol=1e-5)
        whole = model(inputs())
    assert not torch.allclose(whole, expected, atol=1e-2), "the removal changes something"
    one = structural(model, {layers[0]: removed[layers[0]]}, inputs()[:1])
    assert parameters_and_macs(one, inputs()[:1])["params"] > parameters_and_macs(small, inputs()[:1])["params"]


# ---- the choice


def chain(widths: dict[str, int], unit: int = 3) -> Costs:
    """Return the costs of convolutions one after the other, each of which loses outputs and inputs."""
    sides = [Side(2, {}), *(Side(width, {layer: 1}) for layer, width in widths.items()), Side(2, {})]
    weights = [Operation(f"{i}", unit, unit * (1 + i % 3), pair) for i, pair in enumerate(itertools.pairwise(sides))]
    return Costs(widths, weights)


def additive(widths: dict[str, int]) -> Costs:
    """Return costs that are a sum over layers, with one MAC per channel."""
    return Costs(widths, [Operation(layer, 1, 1, (Side(width, {layer: 1}),)) for layer, width in widths.items()])


@st.composite
def cases(draw, layers=3, widest=7):
    """Costs, and a noisy curve of each layer."""
    widths = {f"conv{i}": draw(st.integers(2, widest)) for i in range(1, draw(st.integers(1, layers)) + 1)}
    losses = {
        layer: draw(st.lists(st.floats(-0.1, 1), min_size=width, max_size=width)) for layer, width in widths.items()
    }
    curves = {layer: Curve.of(range(width), losses[layer]) for layer, width in widths.items()}
    return curves, chain(widths)


def least(costs: Costs, size: str = "macs") -> int:
    return costs.total(size, {layer: channels - 1 for layer, channels in costs.channels.items()})


@given(cases(), st.floats(0, 1), st.sampled_from(["params", "macs"]))
def test_the_budget_is_met_and_no_channel_can_be_restored(case, share, size):
    curves, costs = case
    most = round(least(costs, size) + share * (costs.total(size) - least(costs, size)))
    plan, same_ratio = for_budget(curves, costs, size, most), uniform(costs, size, most)
    for ks in (plan, same_ratio):
        assert costs.total(size, ks) <= most
        assert all(0 <= k < costs.channels[layer] for layer, k in ks.items())
        assert list(ks) == list(costs.channels)
    for layer, k in plan.items():
        assert k == 0 or costs.total(size, {**plan, layer: k - 1}) > most
    assert len(plan) > 1 or same_ratio == plan


def random_curves(rng: np.random.Generator, width: int) -> Curve:
    """Return a noisy curve, a convex one, one with stairs, or one that falls off a cliff."""
    k = np.arange(width)
    noisy, convex = rng.normal(0, 0.3, width).cumsum() + 0.1 * k, rng.uniform(0.2, 2) * (k / width) ** rng.uniform(1, 4)
    stairs = np.cumsum(rng.random(width) * (rng.random(width) < 0.3))
    cliff = rng.uniform(0.5, 3) / (1 + np.exp(-(k / width - rng.uniform(0.3, 0.9)) * rng.uniform(5, 25)))
    return Curve.of(k, (noisy, convex, stairs, cliff)[rng.integers(4)])


def test_choices_are_nearly_the_best_of_all():
    """All combinations of K are tried. Four of five choices are the best one, the others are close to it."""
    rng, losses, macs = np.random.default_rng(0), [], []
    for _ in range(40):
        widths = {f"conv{i}": int(rng.integers(4, 13)) for i in range(rng.integers(3, 5))}
        costs, curves = chain(widths), {layer: random_curves(rng, width) for layer, width in widths.items()}
        every = dict(zip(widths, (each.ravel() for each in np.meshgrid(*map(np.arange, widths.values())))))
        size, loss = costs.total("macs", every), sum(curves[layer].losses[ks] for layer, ks in every.items())
        most = round(least(costs) + rng.uniform(0.05, 0.9) * (costs.total("macs") - least(costs)))
        losses.append((loss[size <= most].min(), predicted_loss(curves, for_budget(curves, costs, "macs", most))))
        tolerance = rng.uniform(0.02, 0.5) * loss.max()
        fewest = size[loss <= tolerance + 1e-9].min()
        macs.append((fewest, costs.total("macs", for_tolerance(curves, costs, tolerance))))
    for best, ours in (np.array(losses).T, np.array(macs).T):
        assert (ours >= best - 1e-9).all() and (ours <= best + 1e-9).mean() >= 0.8
        assert ours.sum() <= 1.05 * best.sum()


@given(cases(), st.floats(0, 1), st.floats(0, 1))
def test_the_predicted_loss_is_within_the_tolerance(case, one, other):
    curves, costs = case
    small, large = sorted((one, other))
    plans = [for_tolerance(curves, costs, tolerance) for tolerance in (small, large)]
    for ks, tolerance in zip(plans, (small, large)):
        assert predicted_loss(curves, ks) <= tolerance + 1e-9
        for layer, k in ks.items():
            more = {**ks, layer: k + 1}
            assert k + 1 == costs.channels[layer] or predicted_loss(curves, more) > tolerance - 1e-9


def test_a_step_passes_a_stair_of_the_curve():
    """The first channel of `a` costs all that six of them cost; one of `b` is cheaper than one of `a`."""
    curves = {"a": Curve.of(range(8), [0, *[0.3] * 6, 1]), "b": Curve.of(range(8), [0.2 * k for k in range(8)])}
    assert for_budget(curves, additive({"a": 8, "b": 8}), "macs", 10) == {"a": 6, "b": 0}


def test_noise_does_not_make_a_removal_free():
    curve = Curve.of([4, 0, 2, 1], [0.1, 0.5, 0.6, 0.4])
    assert curve.ks.tolist() == [0, 1, 2, 4]
    assert curve.losses == pytest.approx([0, 0, 0.1, 0.1])
    assert curve.at(3) == pytest.approx(0.1) and np.isnan(curve.at(5))
    with pytest.raises(ValueError, match="K = 0"):
        Curve.of([1, 2], [0, 0])
    rows = [
        {"k": k, "balanced_accuracy": b, "log_loss": loss} for k, b, loss in (("0", "0.9", "0.1"), ("1", "0.7", "0.5"))
    ]
    assert [curves["a"].at(1) for curves in curves_of({"a": rows}).values()] == pytest.approx([0.2, 0.4])


def test_a_budget_that_cannot_be_met_names_the_key_and_the_smallest_value():
    costs = additive({"a": 4, "b": 4})
    with pytest.raises(StudyError, match=r"plan\.macs: 0\.2 cannot be met: .* allowed: at least 0\.25"):
        most_of(costs, "macs", 0.2, {"a": 3, "b": 3})
    assert most_of(costs, "macs", 0.25, {"a": 3, "b": 3}) == 2
    # The product of floats is not below the number that it stands for.
    assert 0.29 * 100 < 29 == most_of(additive({"a": 100}), "params", 0.29, {"a": 99})


@given(cases(), st.floats(0, 0.5))
def test_with_a_tolerance_uniform_ratios_have_the_macs_of_the_plan(case, tolerance):
    curves, costs = case
    chosen = choose({"balanced_accuracy": curves}, costs, "tolerance", tolerance)
    assert list(chosen) == ["plan", "uniform"]
    assert costs.total("macs", chosen["uniform"]) <= costs.total("macs", chosen["plan"])


# ---- the text


def text_of(data, **columns) -> str:
    return " ".join(plan_text(data.table.assign(**columns), data.layers).split())


def test_the_text_says_whether_the_plan_is_better_than_uniform_ratios():
    data = planned()
    table, text = data.table, plan_text(data.table, data.layers)
    assert max(map(len, text.splitlines())) <= 115
    title = "order of l1_norm, for networks with repair: readers refitted, biases fitted. Means over 3 networks"
    assert title in text_of(data)
    assert "plan.macs: 0.5, channels" in text and "plan.macs: 0.25, balanced accuracy on the test pairs" in text
    assert text_of(data).count("conv2 16 12 to 14 12") == 2
    lines = {line.split("  ")[0]: line for line in text[: text.index("plan.macs: 0.25")].splitlines()}
    measured = r"0\.\d{3} \[0\.\d{3}, [01]\.\d{3}\]"
    assert re.search(rf"  0\.500 +0\.600  +{measured}  +{measured}  +0\.800 \[0\.800, 0\.800\]$", lines["plan"])
    assert re.search(rf"{measured}  +-$", lines["uniform, random channels"])
    assert re.search(rf"{measured}  +-$", lines["unpruned network"])
    # Intervals end at 0 and 1.
    extreme = table["seed"].map({0: 1.0, 1: 1.0, 2: 0.5})
    assert "plan 0.500 0.600 0.833 [0.116, 1.000] 0.833" in text_of(data, balanced_accuracy=extreme)
    as_it_is = extreme.where(table["repair"] == "none", 0.25)
    assert "plan 0.500 0.600 0.833 [0.116, 1.000] 0.250 [0.250, 0.250] 0.800" in text_of(
        data, balanced_accuracy=as_it_is
    )
    better = table["method"].map({"plan": 0.9, "uniform": 0.5}).fillna(0.2) + 0.01 * table["seed"] * (table["draw"] + 1)
    lead = "The plan minus uniform ratios, on the same networks: +0.400 [+0.400, +0.400]: better"
    assert lead in text_of(data, balanced_accuracy=better)
    noisy = table["seed"].map({0: 0.1, 1: 0.9, 2: 0.2}).where(table["method"] == "plan", 0.4)
    assert "not a clear lead" in text_of(data, balanced_accuracy=noisy)
    for uniform_share, words in ((0.45, "5.0 percentage points more"), (0.55, "5.0 percentage points fewer")):
        shares = table["method"].map({"plan": 0.5, "uniform": uniform_share}).fillna(1.0)
        assert f"Uniform ratios remove {words} of the MACs than the plan" in text_of(data, macs_share=shares)
    shares = table["method"].map({"plan": 0.5, "uniform": 0.49}).fillna(1.0)
    assert "percentage points more" not in text_of(data, macs_share=shares)
    assert "One network cannot show" in text_of(planned(seeds=1))


# ---- a study

CONFIG = """
task: classes
seeds: [0]
images: {train: 300, val: 150, test: 100}
network: {factory: 'net.py:net', arguments: {width: 4}}
training: {epochs: 1, batch_size: 32, learning_rate: 0.02, require: 0}
ranking: {criteria: [l1_norm]}
plan: {macs: [0.9, 0.7], random_draws: 2}
figures: {dpi: 80}
"""
NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, width, 5, 3), nn.BatchNorm2d(width)
        self.outer = nn.Conv2d(width, width, 3, 1, 1)
        self.last, self.head = nn.Conv2d(width, 2 * width, 3), nn.Linear(2 * width, 10)

    def forward(self, x):
        x = torch.relu(self.norm(self.stem(x)))
        x = torch.relu(x + self.outer(x))
        return self.head(torch.relu(self.last(x)).mean((2, 3)))


def net(width):
    return Net(width)
"""


@pytest.mark.snakemake
def test_a_plan_of_a_residual_network(tmp_path):
    study = Study(tmp_path / "study", CONFIG)
    (study.folder / "net.py").write_text(NET)
    output = study.run("plan").stdout
    text = study.path("plan.txt").read_text()
    assert all(line in output for line in text.splitlines())
    assert "The plan minus uniform ratios, on the same networks:" in " ".join(text.split())

    plan, layers = read_table(study.path("plan.csv")), read_table(study.path("plan_layers.csv"))
    # Stem and outer are one group.
    assert layers["layer"].unique().tolist() == ["stem", "last"]
    methods = ["unpruned", "plan", "uniform", *["plan_random"] * 2, *["uniform_random"] * 2]
    assert plan["method"].tolist() == np.repeat(methods, 2).tolist() * 2
    assert plan["repair"].tolist() == ["none", "refit_bias"] * 14
    assert plan["value"].tolist() == [0.9] * 14 + [0.7] * 14
    smaller = plan[plan["method"] != "unpruned"]
    assert (smaller["macs_share"] <= smaller["value"]).all()
    has_prediction = ~plan["method"].str.endswith("_random") & (plan["repair"] == "refit_bias")
    assert plan["predicted_log_loss"].notna().tolist() == has_prediction.tolist()
    assert (plan.groupby(["value", "method"])[["params", "macs"]].nunique() == 1).all(axis=None)
    unpruned = plan[(plan["method"] == "unpruned") & (plan["repair"] == "refit_bias")]
    assert unpruned["predicted_balanced_accuracy"].tolist() == unpruned["balanced_accuracy"].tolist()
    assert not [name for name in plan if name.startswith(("correct_", "predicted_0"))]

    # K comes from the validation inputs: their labels, and not those of the test inputs.
    rows = read_rows(study.path("seed0/last/validation/l1_norm/structural+refit_bias.csv"))
    assert [int(row["k"]) for row in rows] == list(range(8))
    assert sum(int(rows[0][f"correct_{c}"]) for c in range(10)) <= 150
    assert len(read_order(study.path("seed0/stem/ranking/l1_norm.csv"), 4)) == 4
    assert not (study.path("seed0") / "outer").exists()
    assert study.path("figures/plan.png").exists() and not study.path("curve.csv").exists()
    assert study.plan("plan") == {"plan": 1}

    # A new budget replaces nothing.
    planned = study.plan("plan", "--config", "plan={macs: [0.9, 0.7, 0.8]}")
    jobs = dict.fromkeys(["choose_plan", "evaluate_plan", "aggregate_plan", "plot", "plan"], 1)
    assert planned == jobs
    # A finished plan is not replaced, and does not stop a run that leaves it alone.
    before = study.path("plan.csv").read_bytes()
    output = study.run("plan", "--config", "plan={macs: 0.8}", succeed=False).stdout
    assert "plan.macs: [0.9, 0.7]; asked for: [0.8]" in output and "Nothing was changed" in output
    assert study.path("plan.csv").read_bytes() == before
    assert "eval_pruned" in study.plan("sensitivity", "--config", "plan={macs: 0.8}")
    output = study.run("plan", "--config", "plan={macs: 0.01}", "overwrite=true", succeed=False).stdout
    assert "plan.macs: 0.01 cannot be met" in output
    planned = study.plan("plan", "--config", "plan={tolerance: 0.1}", "overwrite=true")
    assert planned["choose_plan"] == planned["evaluate_plan"] == 1 and "eval_validation" not in planned


# The layers are called 0, 2.1 and 2.10. In the config file the last two are the same number.
NUMBERED = """
from collections import OrderedDict

from torch import nn


def net():
    chain = OrderedDict([("1", nn.Conv2d(4, 5, 3, 2)), ("5", nn.ReLU()), ("10", nn.Conv2d(5, 6, 3)), ("11", nn.ReLU())])
    chain = nn.Sequential(chain)
    ends = nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 10)
    return nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.ReLU(), chain, *ends)
"""
OF_NUMBERED = """
task: classes
seeds: [0]
images: {train: 300, val: 150, test: 100}
network: {factory: 'net.py:net'}
layer: '2.10'
training: {epochs: 2, batch_size: 32, learning_rate: 0.02, require: 0}
sweep: {ks: [0, 1, 2]}
verification: {rankings: 1, drawn_ks: 0}
sensitivity: {criteria: [l1_norm], layers: [0, '2.1', '2.10']}
plan: {macs: 0.9, random_draws: 1}
figures: {dpi: 80}
"""


@pytest.mark.snakemake
def test_layers_with_names_that_look_like_numbers(tmp_path):
    study = Study(tmp_path / "study", OF_NUMBERED)
    (study.folder / "net.py").write_text(NUMBERED)
    study.run("plan", "sensitivity")
    names = ["0", "2.1", "2.10"]
    for table in ("sensitivity", "sensitivity_table", "plan_layers"):
        assert read_table(study.path(f"{table}.csv"))["layer"].unique().tolist() == names
    for text in ("sensitivity", "plan"):
        lines = study.path(f"{text}.txt").read_text().splitlines()
        found = [(words[0], words[1]) for line in lines if (words := line.split()) and words[0] in names]
        assert list(dict.fromkeys(found)) == list(zip(names, "456"))
    for figure, unit in (("plan", ""), ("sensitivity", " channels")):
        drawn = study.path(f"figures/{figure}.svg").read_text()
        assert all(f">{name} ({channels}{unit})<" in drawn for name, channels in zip(names, "456"))
