"""The identities of removal, on random networks with random batch normalisation and biases."""

import dataclasses

import numpy as np
import pytest
import torch
import torch_pruning
from conftest import random_network, random_split
from hypothesis import given
from hypothesis import strategies as st
from prunecurve.activations import collect
from prunecurve.cost import cost
from prunecurve.head import Head, logits
from prunecurve.network import Architecture, save_weights
from prunecurve.files import load_arrays
from prunecurve.removal import REMOVALS
from prunecurve.surgery import operated, physically_smaller
from prunecurve.sweep import Evaluator, kept_channels
from prunecurve.batches import all_logits

architectures = st.builds(
    Architecture,
    in_channels=st.sampled_from([2, 6]),
    image_size=st.integers(9, 14),
    channels=st.lists(st.integers(2, 7), min_size=1, max_size=3).map(tuple),
    kernel_size=st.sampled_from([1, 3, 5]),
    hidden=st.lists(st.integers(2, 9), min_size=1, max_size=3).map(tuple),
    dropout=st.just(0.5),
)
cases = st.tuples(architectures, st.integers(0, 2**31), st.floats(0, 1, exclude_max=True))


def unpack(case):
    """A random network, its pairs, its weights as arrays, its features, a ranking, the channels kept and removed."""
    architecture, seed, share = case
    model, split = random_network(architecture, seed), random_split(architecture, seed)
    channels = architecture.channels[-1]
    order = np.random.default_rng(seed).permutation(channels)
    k = int(share * channels)
    with torch.inference_mode():
        pooled = torch.cat([model.last_block(inputs)["pool"] for inputs, _ in split.batches(5)])
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    weights = state | {"image_size": np.array(architecture.image_size), "bn_eps": np.array(model.last_bn.eps)}
    return model, split, weights, pooled.numpy(), order, kept_channels(order, k), np.sort(order[:k])


@given(cases, st.sampled_from(sorted(REMOVALS)))
def test_sweep_equals_surgery(case, removal):
    model, split, weights, features, order, kept, removed = unpack(case)
    mean_features = features.mean(axis=0)
    stand_in = REMOVALS[removal].stand_in(weights, mean_features)
    (swept,) = logits(features, Head(weights, len(order)), order, [len(removed)], stand_in)
    cut = all_logits(operated(model, kept, removal, mean_features), split)
    assert swept == pytest.approx(cut, rel=1e-4, abs=1e-4)


@given(cases)
def test_structural_equals_zeroing_the_map_after_relu(case):
    model, split, _, features, _, kept, removed = unpack(case)
    masked = torch.from_numpy(features.copy())
    masked[:, removed] = 0
    with torch.inference_mode():
        expected = model.head(masked).numpy()
    assert all_logits(physically_smaller(model, kept), split) == pytest.approx(expected, rel=1e-4, abs=1e-4)


@given(cases)
def test_zero_weights_equals_structural_plus_the_folded_constant(case):
    model, split, weights, features, _, kept, removed = unpack(case)
    zeroed = operated(model, kept, "zero_weights", features.mean(axis=0))
    with torch.inference_mode():
        pooled = torch.cat([zeroed.last_block(inputs)["pool"] for inputs, _ in split.batches(5)]).numpy()
    constants = REMOVALS["zero_weights"].stand_in(weights, features.mean(axis=0))
    assert pooled[:, removed] == pytest.approx(np.broadcast_to(constants[removed], pooled[:, removed].shape), abs=1e-5)
    assert np.array_equal(pooled[:, kept], features[:, kept])


@given(cases)
def test_physically_smaller_equals_torch_pruning(case):
    """Against an independent tool that finds what depends on a channel by tracing the network."""
    model, split, _, _, _, kept, removed = unpack(case)
    inputs, _ = next(split.batches(100))
    expected = random_network(model.architecture, 0)
    expected.load_state_dict(model.state_dict())
    if len(removed):
        graph = torch_pruning.DependencyGraph().build_dependency(expected, example_inputs=inputs)
        graph.get_pruning_group(
            expected.last_conv, torch_pruning.prune_conv_out_channels, idxs=removed.tolist()
        ).prune()
    small = physically_smaller(model, kept)
    assert {n: t.shape for n, t in small.state_dict().items()} == {n: t.shape for n, t in expected.state_dict().items()}
    with torch.inference_mode():
        assert small(inputs).numpy() == pytest.approx(expected.eval()(inputs).numpy(), rel=1e-4, abs=1e-4)


@given(cases)
def test_cost_equals_torchs_own_count(case):
    """Parameters counted by torch, MACs by a hook on every layer, of the network that was really cut."""
    model, _, weights, _, _, kept, _ = unpack(case)
    small, counted = physically_smaller(model, kept), []

    def count(layer, inputs, output):
        positions = output[0].numel() // output.shape[1]
        counted.append(layer.weight.numel() * positions)

    for layer in small.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            layer.register_forward_hook(count)
    size = model.architecture.image_size
    small(torch.zeros(1, model.architecture.in_channels, size, size))
    expected = {"params": sum(p.numel() for p in small.parameters()), "macs": sum(counted)}
    assert cost(weights, len(kept)) == expected


def test_evaluator_gives_one_row_for_each_k(tmp_path):
    """From files as the workflow writes them; all columns, and other numbers at another K."""
    architecture = Architecture(2, 12, (3, 8), 3, (9, 5), 0.5)
    model, split = random_network(architecture, 4), random_split(architecture, 4, pairs=400, images=40)
    collect(model, split, 64, tmp_path)
    save_weights(tmp_path / "weights.npy", model)
    np.save(tmp_path / "pairs.npy", split.pairs.numpy().astype(np.int32))
    evaluator = Evaluator(*(tmp_path / f for f in ("features.npy", "pairs.npy", "weights.npy", "mean_features.npy")))
    order = np.arange(8)[::-1]
    rows = evaluator.rows(order, range(8), "structural")
    assert [row["channels_left"] for row in rows] == list(range(8, 0, -1))
    for k, row in enumerate(rows):
        masked = torch.from_numpy(np.load(tmp_path / "features.npy"))
        masked[:, order[:k].copy()] = 0
        with torch.inference_mode():
            loss = torch.nn.functional.cross_entropy(model.head(masked), split.pairs[:, 2])
        assert row["log_loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert rows[0]["log_loss"] != rows[7]["log_loss"]
    assert rows[3]["conv_weight_shape"] == "5x3x3x3"
    assert evaluator.rows(order, [3], "zero_weights")[0]["conv_weight_shape"] == "8x3x3x3"
    assert rows[0]["compression_ratio"] == 1.0 < rows[1]["compression_ratio"] < rows[7]["compression_ratio"]
    assert load_arrays(tmp_path / "weights.npy")["conv2.weight"].shape == (8, 3, 3, 3)
    assert dataclasses.asdict(architecture)["channels"] == (3, 8)
