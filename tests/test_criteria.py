"""Each criterion, compared with an independent computation in torch; known mistakes; the order of the scores."""

import copy
import logging
import types

import numpy as np
import pytest
import torch
from conftest import Study, after_block, layer_of, random_network, random_split
from hypothesis import given
from hypothesis import strategies as st
from prunecurve.ranking import criteria
from prunecurve.activations.collection import collect, single_maps
from prunecurve.errors import StudyError
from prunecurve.ranking.validation_set import ValidationSet
from prunecurve.arrays import load_array
from prunecurve.tables import read_order, read_rows
from prunecurve.naming import criterion_of, orders
from prunecurve.graph.description import describe
from prunecurve.graph.points import POINTS
from prunecurve.model.conv_net import Architecture
from prunecurve.model.model_file import ModelFile
from prunecurve.model.network_file import load_network, save_model
from prunecurve.seeding import stream
from prunecurve.sweep.backends import numpy_backend, torch_backend
from prunecurve.sweep.repair import Reader
from rank_channels import statistics
from sklearn.metrics import log_loss
from test_plans import NET
from torch.nn.functional import cross_entropy, unfold

ARCHITECTURE = Architecture(in_channels=2, image_size=14, channels=[4, 9], kernel_size=3, hidden=[8, 5], dropout=0.5)
MODEL, SPLIT = random_network(ARCHITECTURE, 11), random_split(ARCHITECTURE, 11, images=20, pairs=75)
PARAMETERS = {"entropy_bins": 7, "shapley_permutations": 64, "shapley_pairs": 500, "shapley_relative_error": 0.0}
# Channels of conv1 and conv2.
LAYERS = {1: 4, 2: 9}
KINDS = ("statistics", "maps", "labels", "mean_features", "readers", "scale")
BACKENDS = {"numpy": numpy_backend.Backend, "torch": torch_backend.Backend}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write the input files of the criteria, as in the workflow, with several batches."""
    folder = tmp_path_factory.mktemp("activations")
    for i in LAYERS:
        collect(layer_of(MODEL, f"conv{i}"), SPLIT, 32, folder / str(i))
    save_model(folder / "model.pt", MODEL)
    return folder


@pytest.fixture(scope="module")
def layer(folder):
    """Return a function that creates a criterion's inputs for block i at a point, with only the inputs in `reads`.

    other: inputs that replace those of the block.
    """

    def validation(described, features):
        backend = BACKENDS[described.backend](described, ModelFile(folder / "model.pt"), 2)
        return ValidationSet(np.load(features), SPLIT.labels.numpy(), described, backend, 2)

    def view(i: int = 2, point: str = "relu", reads: tuple[str, ...] = KINDS, **other):
        layer, described = layer_of(MODEL, f"conv{i}"), describe(layer_of(MODEL, f"conv{i}"))
        if "maps" in reads:
            single_maps(layer, point, SPLIT, 32, folder / "maps.npy")
        inputs = dict(
            filters=described.filters,
            scale=described.scale if "scale" in reads else None,
            random=stream(0, "ranking/random-1"),
            point=point,
            statistics=statistics(folder / str(i) / "channels.csv") if "statistics" in reads else None,
            maps=load_array(folder / "maps.npy") if "maps" in reads else None,
            validation=validation(described, folder / str(i) / "features.npy") if "labels" in reads else None,
            mean_features=np.load(folder / str(i) / "mean_features.npy") if "mean_features" in reads else None,
            readers=[reader_of(i)] if "readers" in reads else None,
            parameters=PARAMETERS,
        )
        return criteria.Layer(**inputs | other)

    return view


def maps_at(i: int, point: str) -> torch.Tensor:
    """Return the maps (n, P, M, N) of block i, read by hooks on the network, in float64 after the convolution."""
    seen = []
    with torch.inference_mode():
        handle = getattr(MODEL, f"conv{i}").register_forward_hook(
            lambda layer, inputs, output: seen.append(output.double())
        )
        for inputs, _ in SPLIT.batches(1000):
            MODEL(inputs)
        handle.remove()
        z = torch.cat(seen)
        bn = copy.deepcopy(getattr(MODEL, f"bn{i}")).double()(z)
        return {"conv": z, "bn": bn, "relu": bn.clamp(min=0), "pool": torch.max_pool2d(bn.clamp(min=0), 2)}[point]


def reader_of(i: int) -> Reader:
    """Return the layer that reads the maps of block i; of a convolution, an input is a position of the kernel."""
    x = maps_at(i, "pool")
    inputs = (unfold(x, 3, padding=1).mT.flatten(0, 1) if i == 1 else x.flatten(1)).numpy()
    weight = (MODEL.conv2 if i == 1 else MODEL.linear1).weight.detach().double().flatten(1).T.numpy()
    channels = np.repeat(np.arange(LAYERS[i]), len(weight) // LAYERS[i])
    return Reader("reader", weight, inputs.mean(axis=0)[:, None], np.cov(inputs.T, ddof=0), channels)


def filters(i: int) -> list[torch.Tensor]:
    return [f.detach().double() for f in getattr(MODEL, f"conv{i}").weight]


def binned_entropy(values: torch.Tensor, bins: int) -> float:
    """Return scipy's entropy of a histogram that is counted here."""
    from scipy.stats import entropy

    low, high = values.min(), values.max()
    if low == high:
        return 0.0
    place = ((values - low) / (high - low) * bins).floor().clamp(max=bins - 1)
    return float(entropy([float((place == b).sum()) for b in range(bins)]))


def nuclear_norm_falls(maps: torch.Tensor) -> torch.Tensor:
    """Compute the decrease from the singular values of the matrix and of copies with one row set to zero."""
    rows = maps.flatten(2)
    found = torch.zeros(len(maps[0]), dtype=torch.float64)
    for one in rows:
        for c in range(len(one)):
            cut = one.clone()
            cut[c] = 0
            found[c] += torch.linalg.svdvals(one).sum() - torch.linalg.svdvals(cut).sum()
    return found / len(maps)


def hybrid(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return the product of the norms of two filters, weighted by how far they are from parallel."""
    cosine = torch.cosine_similarity(one.flatten(), other.flatten(), dim=0)
    return one.norm() * other.norm() * (1 - cosine.abs())


# Expected scores from the maps at the measurement point.
OF_MAPS = {
    "mean_activation": lambda a: a.mean(dim=(0, 2, 3)),
    "activation_std": lambda a: a.std(dim=(0, 2, 3), correction=0),
    "apoz": lambda a: -(a <= 0).double().mean(dim=(0, 2, 3)),
    "entropy": lambda a: np.array([binned_entropy(a[:, c].mean(dim=(1, 2)), 7) for c in range(a.shape[1])]),
    "hrank": lambda a: torch.linalg.matrix_rank(a.float()).double().mean(dim=0),
    "chip": nuclear_norm_falls,
}
OF_WEIGHTS = {
    "l1_norm": lambda i: [torch.linalg.vector_norm(f, 1) for f in filters(i)],
    "l2_norm": lambda i: [torch.linalg.vector_norm(f) for f in filters(i)],
    "bn_scale": lambda i: getattr(MODEL, f"bn{i}").weight.detach().abs(),
    "fpgm": lambda i: torch.cdist(*[torch.stack(filters(i)).flatten(1)] * 2).sum(dim=1),
    "whc": lambda i: [sum(hybrid(f, other) for other in filters(i) if other is not f) for f in filters(i)],
}
# Of test_criteria_of_readers.py.
OF_READERS = {"obs", "thinet"}
OF_LABELS = {"taylor_activation", "taylor_centred", "taylor_gate"}
OF_LABELS |= {"loss_oracle", "shapley", "greedy", "greedy_backward_forward"}


def test_every_criterion_is_tested():
    tested = {*OF_MAPS, *OF_WEIGHTS, *OF_LABELS, *OF_READERS, "conv_abs_mean", "random"}
    assert tested == set(criteria.names())


def agrees(found, expected, rel=1e-5):
    assert found == pytest.approx(np.asarray(expected, dtype=np.float64), rel=rel, abs=1e-7)


@pytest.mark.parametrize("i", LAYERS)
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("name", OF_MAPS)
def test_criteria_of_activations(name, point, i, layer):
    reads = criteria.reads(name)
    expected = OF_MAPS[name](maps_at(i, point))
    found = criteria.scores(name, layer(i, point, reads))
    if name == "entropy":
        # Because of rounding, a value on the edge between two bins can be counted in either.
        assert found == pytest.approx(expected, abs=0.05)
        assert np.median(np.abs(found - expected)) < 1e-9
    else:
        agrees(found, expected, rel=1e-4 if name == "chip" else 1e-5)


@pytest.mark.parametrize("i", LAYERS)
def test_conv_abs_mean_is_of_the_convolution_wherever_activations_are_measured(i, layer):
    for point in POINTS:
        agrees(criteria.scores("conv_abs_mean", layer(i, point)), maps_at(i, "conv").mean(dim=(0, 2, 3)).abs())


@pytest.mark.parametrize("i", LAYERS)
@pytest.mark.parametrize("name", OF_WEIGHTS)
def test_criteria_of_weights(name, i, layer):
    assert criteria.reads(name) == (("scale",) if name == "bn_scale" else ())
    agrees(criteria.scores(name, layer(i, reads=criteria.reads(name))), OF_WEIGHTS[name](i))


def test_criteria_of_a_linear_layer():
    """Its filters have one position, and its maps too: CHIP and HRank are what their definitions give."""
    described = describe(layer_of(MODEL, "linear1"))
    weight = MODEL.linear1.weight.detach().double()
    assert described.filters.shape == (8, weight.shape[1], 1, 1)
    maps = np.random.default_rng(0).normal(size=(5, 8, 1, 1)).astype(np.float32)
    maps[:3, 2] = 0
    view = criteria.Layer(described.filters, described.scale, stream(0, "x"), maps=maps)
    agrees(criteria.scores("l1_norm", view), weight.abs().sum(dim=1))
    agrees(criteria.scores("fpgm", view), torch.cdist(weight, weight).sum(dim=1))
    agrees(criteria.scores("hrank", view), (maps[:, :, 0, 0] != 0).mean(axis=0))
    agrees(criteria.scores("chip", view), nuclear_norm_falls(torch.from_numpy(maps).double()), rel=1e-4)
    with pytest.raises(
        StudyError, match=r"ranking\.criteria: bn_scale needs batch normalisation, and the layer has none"
    ):
        criteria.scores("bn_scale", view)


# ---- criteria that read labels: compared with gates in the network and masked forward passes


def each_loss(i: int, gates: torch.Tensor) -> torch.Tensor:
    """Return each pair's loss (N,) with gates after batch normalisation, per pair and channel or per channel."""
    inputs, labels = next(SPLIT.batches(1000))
    handle = getattr(MODEL, f"bn{i}").register_forward_hook(
        lambda layer, given, output: output * gates[..., None, None]
    )
    logits = MODEL(inputs)
    handle.remove()
    return cross_entropy(logits.double(), labels, reduction="none")


def balanced(values: torch.Tensor) -> torch.Tensor:
    """Return the mean over the pairs of each class, averaged over the two classes."""
    labels = SPLIT.labels
    return (values[labels == 1].mean(dim=0) + values[labels == 0].mean(dim=0)) / 2


def masked_loss(i: int, removed: list[int]) -> float:
    gates = torch.ones(LAYERS[i])
    gates[removed] = 0
    # With a gate of zero, the map after ReLU is zero, as if the channel was removed.
    with torch.inference_mode():
        return float(balanced(each_loss(i, gates)))


@pytest.mark.parametrize("i", LAYERS)
def test_taylor_gate_is_autograds_on_explicit_gates(i, layer):
    gates = torch.ones(len(SPLIT), LAYERS[i], requires_grad=True)
    each_loss(i, gates).sum().backward()
    agrees(criteria.scores("taylor_gate", layer(i)), balanced(gates.grad.double().square()), rel=1e-4)


@pytest.mark.parametrize("i", LAYERS)
def test_taylor_activation_is_autograds_on_the_maps(i, layer):
    kept = []
    handle = getattr(MODEL, f"bn{i}").register_forward_hook(
        lambda layer, given, output: kept.append(torch.relu(output)) or kept[0]
    )
    inputs, labels = next(SPLIT.batches(1000))
    logits = MODEL(inputs)
    handle.remove()
    kept[0].retain_grad()
    cross_entropy(logits, labels, reduction="sum").backward()
    each = (kept[0].grad * kept[0]).detach().double().mean(dim=(2, 3))
    found = criteria.scores("taylor_activation", layer(i))
    agrees(found, balanced(each.abs()), rel=1e-4)
    # Known mistake: if the absolute value is taken after averaging, effects of opposite sign cancel.
    assert (found > 1.5 * balanced(each).abs().numpy()).any()


@pytest.mark.parametrize("i", LAYERS)
def test_taylor_centred_is_autograds_on_the_maps_that_are_read(i, layer):
    x = maps_at(i, "pool").float().requires_grad_()
    cross_entropy(after_block(MODEL, i, x), SPLIT.labels, reduction="sum").backward()
    deviation = x.detach() - x.detach().mean(dim=0)
    each = (x.grad * deviation).double().sum(dim=(2, 3)) / maps_at(i, "relu")[0, 0].numel()
    found = criteria.scores("taylor_centred", layer(i))
    agrees(found, balanced(each.abs()), rel=1e-4)
    assert criteria.ranking(found).tolist() != criteria.ranking(criteria.scores("taylor_activation", layer(i))).tolist()


@pytest.mark.parametrize("i", LAYERS)
def test_loss_oracle_equals_masked_forward_passes(i, layer):
    expected = [masked_loss(i, [c]) - masked_loss(i, []) for c in range(LAYERS[i])]
    assert criteria.scores("loss_oracle", layer(i)) == pytest.approx(expected, abs=2e-6)


def cheapest(i: int, removed: dict[int, list[int]]) -> int:
    """Return the channel, a key, with the lowest loss; losses are equal or differ by more than the rounding error."""
    losses = sorted((masked_loss(i, channels), c) for c, channels in removed.items())
    gaps = [other[0] - losses[0][0] for other in losses[1:]]
    assert all(gap == 0 or gap > 1e-6 for gap in gaps)
    return losses[0][1]


@pytest.mark.parametrize("i", LAYERS)
def test_greedy_equals_masked_forward_passes(i, layer):
    """Each step evaluates all remaining channels."""
    expected: list[int] = []
    while len(expected) < LAYERS[i]:
        expected.append(cheapest(i, {c: [*expected, c] for c in range(LAYERS[i]) if c not in expected}))
    assert criteria.ranking(criteria.scores("greedy", layer(i))).tolist() == expected


def test_greedy_backward_forward_equals_masked_forward_passes(layer):
    """The candidates are the greedy order and those with its last half, quarter, … reordered by greedy addition."""
    removed = criteria.ranking(criteria.scores("greedy", layer())).tolist()
    candidates = [removed]
    for part in (2, 4, 8, 16):
        waiting, added = removed[-9 // part :], []
        while waiting:
            added.append(cheapest(2, {c: [o for o in range(9) if o not in (*added, c)] for c in waiting}))
            waiting = [c for c in waiting if c != added[-1]]
        candidates.append([c for c in removed if c not in added] + added[::-1])
    means = [np.mean([masked_loss(2, order[:k]) for k in range(9)]) for order in candidates]
    found = criteria.ranking(criteria.scores("greedy_backward_forward", layer())).tolist()
    assert np.mean([masked_loss(2, found[:k]) for k in range(9)]) == pytest.approx(min(means), abs=1e-6)
    assert found in candidates and min(means) <= means[0]


def exact_shapley(i: int) -> np.ndarray:
    """Compute the Shapley values by definition, over all subsets, each evaluated by a masked forward pass."""
    from itertools import combinations
    from math import comb

    channels = range(LAYERS[i])
    loss = {s: masked_loss(i, list(s)) for r in range(LAYERS[i] + 1) for s in combinations(channels, r)}
    found = np.zeros(LAYERS[i])
    for c in channels:
        others = [o for o in channels if o != c]
        for r in range(LAYERS[i]):
            for s in combinations(others, r):
                found[c] += (loss[tuple(sorted((*s, c)))] - loss[s]) / comb(LAYERS[i] - 1, r) / LAYERS[i]
    return found


@pytest.mark.parametrize(("i", "pairs"), [(1, 500), (2, 500), (2, 60)])
def test_shapley_is_within_its_standard_error_of_all_subsets(i, pairs, layer, caplog):
    exact = exact_shapley(i)
    view = layer(i, parameters=PARAMETERS | {"shapley_permutations": 200, "shapley_pairs": pairs})
    with caplog.at_level(logging.INFO, "prunecurve"):
        found = criteria.scores("shapley", view)
    assert "200 orders" in caplog.text and "0 is not reached (raise ranking.shapley_permutations)" in caplog.text
    assert (np.abs(found.scores - exact) < 5 * found.standard_error + 1e-6).all()
    assert (found.standard_error < exact.std() / 2).all() and (found.standard_error > 0).any()
    # Independent of the sampling error: the increases along any order have the same sum.
    if pairs > len(SPLIT):
        whole = masked_loss(i, list(range(LAYERS[i]))) - masked_loss(i, [])
        assert found.scores.sum() == pytest.approx(whole, abs=1e-5)


def test_shapley_stops_when_it_is_exact_enough(layer, caplog):
    view = layer(parameters=PARAMETERS | {"shapley_permutations": 5000, "shapley_relative_error": 0.1})
    with caplog.at_level(logging.INFO, "prunecurve"):
        found = criteria.scores("shapley", view)
    assert "0.1 is reached" in caplog.text
    assert found.standard_error.mean() <= 0.1 * found.scores.std()


# ---- known mistakes of other implementations, ties and special cases


def test_fpgm_tells_a_filter_from_its_negative(layer):
    """With distances between absolute values, filters 0 and 1 would be identical and removed first."""
    array = np.array(layer(reads=()).filters)
    array[1] = -array[0]
    found = criteria.scores("fpgm", layer(filters=array))
    expected = [sum(np.linalg.norm(array[c].astype(float) - other) for other in array) for c in range(9)]
    agrees(found, expected)
    wrong = [sum(np.linalg.norm(np.abs(array[c].astype(float)) - np.abs(other)) for other in array) for c in range(9)]
    assert criteria.ranking(found).tolist() != criteria.ranking(np.array(wrong)).tolist()


def test_entropy_of_what_is_constant_but_for_rounding_is_nothing(layer):
    maps = np.full((6, 9, 5, 5), 1000, np.float32)
    maps[:, 2] += np.linspace(0, 3e-4, 6, dtype=np.float32)[:, None, None]
    maps[:, 5] += np.arange(6, dtype=np.float32)[:, None, None]
    parameters = PARAMETERS | {"entropy_bins": 100}
    found = criteria.scores("entropy", layer(maps=maps, parameters=parameters))
    assert found[5] == pytest.approx(np.log(6)) and (found[[0, 1, 3]] == 0).all() and np.isfinite(found).all()


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_examples_are_drawn_of_each_class(layer, share):
    """Even with few pairs; without one class, half of the class-balanced loss would be missing."""
    validation = layer().validation
    drawn = validation.drawn(int(share * len(validation.labels)), np.random.default_rng(0))
    for label in (0, 1):
        whole, part = (validation.labels == label).sum(), (drawn.labels == label).sum()
        assert part == max(round(int(share * len(validation.labels)) / len(validation.labels) * whole), 1)
    assert drawn.shares.sum() == pytest.approx(1)
    assert all(np.any([np.array_equal(one, other) for other in validation.features]) for one in drawn.features)


def test_where_each_criterion_measures():
    assert criteria.point("hrank", "pool") == criteria.point("apoz", "pool") == "pool"
    assert criteria.point("conv_abs_mean", "pool") == "conv"
    assert criteria.point("l1_norm", "pool") == criteria.point("greedy", "relu") == "none"


def test_random_draws_are_permutations_of_their_own(layer):
    def drawn(seed, draw):
        view = layer(random=stream(seed, f"ranking/random-{draw}"))
        return criteria.scores(f"random-{draw}", view).tolist()

    assert sorted(drawn(0, 1)) == list(range(9))
    assert drawn(0, 1) == drawn(0, 1)
    assert len({tuple(drawn(seed, draw)) for seed in (0, 1) for draw in (1, 2)}) == 4


# ---- names, and the inputs of each criterion


def test_orders_are_one_a_criterion_and_several_of_random():
    found = orders(["greedy", "random", "reversed-greedy"], 3)
    assert found == ["greedy", "random-1", "random-2", "random-3", "reversed-greedy"]
    assert [criterion_of(order) for order in found] == ["greedy", *["random"] * 3, "reversed-greedy"]
    assert "reversed-apoz" in criteria.allowed() and "reversed-random" not in criteria.allowed()


@pytest.mark.parametrize("name", criteria.names())
def test_a_criterion_needs_what_it_reads_and_nothing_else(name, layer):
    full = criteria.scores(name, layer())
    alone = criteria.scores(name, layer(reads=criteria.reads(name)))
    assert np.array_equal(getattr(full, "scores", full), getattr(alone, "scores", alone))
    for missing in criteria.reads(name):
        message = f"{name} needs batch normalisation" if missing == "scale" else f"{name} reads {missing}"
        with pytest.raises(StudyError, match=message):
            criteria.scores(name, layer(reads=tuple({*KINDS} - {missing})))


@given(st.lists(st.sampled_from([0.0, 1.0, 2.5]), min_size=1, max_size=40))
def test_ranking_is_a_stable_permutation(scores):
    order = criteria.ranking(np.array(scores))
    assert sorted(order.tolist()) == list(range(len(scores)))
    assert order.tolist() == sorted(range(len(scores)), key=lambda c: (scores[c], c))


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (np.zeros((9, 3)), r"own returned an array of the shape \(9, 3\); .* per channel, \(9,\)"),
        (None, r"own returned an array of the shape \(\)"),
        (criteria.Estimate(np.zeros(9), np.zeros((9, 1))), r"own returned an array of the shape \(9, 1\)"),
        ([np.nan] * 9, r"own gave NaN for 9 of 9 channels"),
    ],
)
def test_a_criterion_returns_one_number_per_channel(layer, monkeypatch, returned, message):
    monkeypatch.setattr(criteria, "_module", lambda name: types.SimpleNamespace(score=lambda layer: returned))
    with pytest.raises(StudyError, match=rf"ranking\.criteria: {message}"):
        criteria.scores("own", layer())


# ---- a group of several layers, through the workflow

OF_GROUP = """
task: classes
seeds: [0]
images: {train: 300, val: 150, test: 60}
network: {factory: 'net.py:net', arguments: {width: 5}}
layer: stem
training: {epochs: 3, batch_size: 32, learning_rate: 0.02, require: 0}
ranking: {criteria: %s, random_draws: 1, sampled_pairs: 40, split: val}
verification: {rankings: all, drawn_ks: 0}
figures: {dpi: 50}
"""


@pytest.mark.snakemake
def test_every_criterion_ranks_a_group_of_several_layers(tmp_path):
    """The stem and a layer behind it are one group. Each kind of criterion is computed by torch and scikit-learn."""
    study = Study(tmp_path / "study", OF_GROUP % criteria.names())
    (study.folder / "net.py").write_text(NET)
    study.run("results/digits/curve.csv", "results/digits/seed0/stem/verification.csv")
    order = {name: read_order(study.path(f"seed0/stem/ranking/{name}.csv"), 5) for name in orders(criteria.names(), 1)}
    assert set(order) == set(orders(criteria.names(), 1))
    checked = read_rows(study.path("seed0/stem/verification.csv"))
    assert {row["criterion"] for row in checked} == set(order) and {row["agrees"] for row in checked} == {"True"}

    factory = str(study.folder / "net.py:net")
    model = load_network(ModelFile(str(study.path("seed0/model.pt")), factory, {"width": 5}))[0].eval()
    kinds = ("images", "inputs", "labels")
    images, index, labels = (np.load(study.path(f"seed0/{kind}/val.npy")) for kind in kinds)
    x = torch.from_numpy(images[index[:, 0]]).float() / 255
    # Activations: behind the studied layer itself.
    with torch.inference_mode():
        maps = torch.relu(model.norm(model.stem(x)))
    assert order["mean_activation"].tolist() == np.argsort(maps.mean((0, 2, 3)).numpy()).tolist()
    # Losses: without the channel wherever a layer reads it.
    weights = 1 / np.bincount(labels)[labels]

    def loss(removed: list[int]) -> float:
        def hook(module, given):
            return (given[0].index_fill(1, torch.tensor(removed), 0.0),)

        hooks = [each.register_forward_pre_hook(hook) for each in (model.outer, model.last) if removed]
        with torch.inference_mode():
            probability = torch.softmax(model(x).double(), 1).numpy()
        for each in hooks:
            each.remove()
        return log_loss(labels, probability, sample_weight=weights, labels=range(10))

    assert order["loss_oracle"].tolist() == np.argsort([loss([c]) for c in range(5)]).tolist()
