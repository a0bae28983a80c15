"""Each criterion against a direct computation in torch, and the order made of its scores."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from conftest import random_network, random_split
from hypothesis import given
from hypothesis import strategies as st
from prunecurve import criteria
from prunecurve.activations import collect
from prunecurve.errors import StudyError
from prunecurve.files import load_arrays, read_columns, read_rows
from prunecurve.network import Architecture, save_weights
from prunecurve.seeding import stream

ARCHITECTURE = Architecture(2, 14, (4, 9), 3, (8, 5), 0.5)
MODEL, SPLIT = random_network(ARCHITECTURE, 11), random_split(ARCHITECTURE, 11, images=20, pairs=75)


@pytest.fixture(scope="module")
def layer(tmp_path_factory) -> criteria.Layer:
    """What the criteria get: from files, as in the workflow, collected in several batches."""
    folder = tmp_path_factory.mktemp("activations")
    collect(MODEL, SPLIT, 32, folder)
    names = list(read_rows(folder / "channels.csv")[0])
    statistics = dict(zip(names, read_columns(folder / "channels.csv", *names)))
    save_weights(folder / "weights.npy", MODEL)
    labels = SPLIT.pairs[:, 2].numpy()
    examples = criteria.Examples(np.load(folder / "features.npy"), labels, load_arrays(folder / "weights.npy"), 2)
    return criteria.Layer(MODEL.last_conv.weight.detach().numpy(), statistics, stream(0, "ranking/random"), examples)


@pytest.fixture(scope="module")
def maps() -> tuple[torch.Tensor, torch.Tensor]:
    """The convolution's output z and the map a after ReLU, (N, P, M, N), by hooks on the network itself."""
    seen = []
    with torch.inference_mode():
        handle = MODEL.last_conv.register_forward_hook(lambda layer, inputs, output: seen.append(output.double()))
        for inputs, _ in SPLIT.batches(1000):
            MODEL(inputs)
        handle.remove()
        z = torch.cat(seen)
        return z, torch.relu(copy.deepcopy(MODEL.last_bn).double()(z))


DIRECT = {
    "mean_activation": lambda z, a: a.mean(dim=(0, 2, 3)),
    "conv_abs_mean": lambda z, a: z.mean(dim=(0, 2, 3)).abs(),
    "l1_norm": lambda z, a: torch.stack([torch.linalg.vector_norm(f.double(), 1) for f in MODEL.last_conv.weight]),
}


def test_every_criterion_is_tested():
    assert set(DIRECT) | {"random", "greedy"} == set(criteria.names())


@pytest.mark.parametrize("name", DIRECT)
def test_criterion_equals_the_direct_computation(name, layer, maps):
    expected = DIRECT[name](*maps).detach().numpy()
    found = criteria.scores(name, layer)
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-7)
    assert criteria.ranking(found).tolist() == np.argsort(expected, kind="stable").tolist()


def test_mean_activation_and_conv_abs_mean_are_not_the_same_order(layer):
    orders = [criteria.ranking(criteria.scores(name, layer)).tolist() for name in ("mean_activation", "conv_abs_mean")]
    assert orders[0] != orders[1]


def test_random_is_a_permutation_of_its_seed(layer):
    def drawn(seed):
        made = criteria.Layer(layer.filters, layer.statistics, stream(seed, "ranking/random"))
        return criteria.scores("random", made).tolist()

    assert sorted(drawn(0)) == list(range(9))
    assert drawn(0) == drawn(0) != drawn(1)


@given(st.lists(st.sampled_from([0.0, 1.0, 2.5]), min_size=1, max_size=40))
def test_ranking_is_a_stable_permutation(scores):
    order = criteria.ranking(np.array(scores))
    assert sorted(order.tolist()) == list(range(len(scores)))
    assert order.tolist() == sorted(range(len(scores)), key=lambda c: (scores[c], c))


def test_unknown_and_undefined_criteria_name_the_key(layer):
    with pytest.raises(StudyError, match=r"ranking\.criteria: 'l3_norm' is unknown; allowed: .*l1_norm"):
        criteria.scores("l3_norm", layer)
    broken = criteria.Layer(layer.filters, {"relu_mean": np.full(9, np.nan)}, layer.random)
    with pytest.raises(StudyError, match=r"ranking\.criteria: mean_activation gave no number"):
        criteria.scores("mean_activation", broken)


def masked_loss(removed: list[int]) -> float:
    """The class-balanced loss of MODEL on SPLIT with channels' maps set to zero, by torch."""
    with torch.inference_mode():
        inputs, labels = next(SPLIT.batches(1000))
        pooled = MODEL.last_block(inputs)["pool"]
        pooled[:, removed] = 0
        losses = torch.nn.functional.cross_entropy(MODEL.head(pooled).double(), labels, reduction="none")
        return float(losses[labels == 1].mean() + losses[labels == 0].mean()) / 2


def test_greedy_equals_masked_forward_passes(layer):
    """At each step all that are left, by brute force; no two are so close, unless equal, that rounding could decide."""
    expected: list[int] = []
    while len(expected) < 9:
        left = [c for c in range(9) if c not in expected]
        losses = sorted((masked_loss([*expected, c]), c) for c in left)
        gaps = [other[0] - losses[0][0] for other in losses[1:]]
        assert all(gap == 0 or gap > 1e-6 for gap in gaps)
        expected.append(losses[0][1])
    assert criteria.ranking(criteria.scores("greedy", layer)).tolist() == expected


def test_only_greedy_reads_labels(layer):
    assert [name for name in criteria.names() if criteria.reads_labels(name)] == ["greedy"]
    blind = dataclasses.replace(layer, examples=None)
    with pytest.raises(StudyError, match="greedy reads labels"):
        criteria.scores("greedy", blind)
    for name in DIRECT:
        assert np.array_equal(criteria.scores(name, blind), criteria.scores(name, layer))
