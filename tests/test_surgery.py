"""Equalities between the kinds of removal, on random networks with random batch normalisation and biases."""

import numpy as np
import pytest
import torch
import torch_pruning
from conftest import random_network, random_split
from hypothesis import given
from hypothesis import strategies as st
from prunecurve.ranking.activations import collect
from prunecurve.sweep.cost import cost
from prunecurve.errors import StudyError
from prunecurve.sweep.head import Head, logits
from prunecurve.network.pair_network import Architecture, save_weights
from prunecurve.files import load_arrays, save_array
from prunecurve.sweep.removal import REMOVALS
from prunecurve.verification.surgery import operated, physically_smaller, size_of
from prunecurve.sweep.rest import RestOfNetwork, model_of
from prunecurve.sweep.torch_evaluation import TorchEvaluator
from prunecurve.sweep.evaluation import Evaluator, kept_channels
from prunecurve.data.batches import all_logits

architectures = st.builds(
    Architecture,
    in_channels=st.sampled_from([2, 6]),
    image_size=st.integers(9, 14),
    channels=st.lists(st.integers(2, 7), min_size=1, max_size=3),
    kernel_size=st.sampled_from([1, 3, 5]),
    hidden=st.lists(st.integers(2, 9), min_size=1, max_size=3),
    dropout=st.just(0.5),
)
cases = st.tuples(architectures, st.integers(0, 2**31), st.floats(0, 1, exclude_max=True), st.integers(0, 2))


class Case:
    """A random network with pairs, one of its convolutions, a ranking of its channels, and the number K to remove."""

    def __init__(self, case):
        architecture, seed, share, which = case
        self.model, self.split = random_network(architecture, seed), random_split(architecture, seed)
        self.i = which % architecture.blocks + 1
        self.layer, self.in_last = f"conv{self.i}", self.i == architecture.blocks
        channels = architecture.channels[self.i - 1]
        self.order = np.random.default_rng(seed).permutation(channels)
        self.k = int(share * channels)
        self.kept, self.removed = kept_channels(self.order, self.k), np.sort(self.order[: self.k])
        self.features = self.pooled(self.model)
        state = {name: tensor.numpy() for name, tensor in self.model.state_dict().items()}
        eps = np.array(self.model.bn(1).eps)
        self.weights = state | {"image_size": np.array(architecture.image_size), "bn_eps": eps}

    @torch.inference_mode()
    def pooled(self, model) -> np.ndarray:
        return torch.cat([model.maps(self.i, inputs)["pool"] for inputs, _ in self.split.batches(5)]).numpy()

    def replacement(self, removal: str) -> np.ndarray:
        return REMOVALS[removal].replacement(self.weights, self.layer, self.features.mean(axis=0))

    def swept(self, removal: str) -> np.ndarray:
        if self.in_last:
            head = Head(self.weights, len(self.order))
            return logits(self.features, head, self.order, [self.k], self.replacement(removal))[0]
        with torch.inference_mode():
            rest = RestOfNetwork(self.weights, self.layer, 1)
            maps = torch.from_numpy(self.features)
            return rest.logits(maps, self.order[: self.k], self.replacement(removal)).numpy()


@given(cases, st.sampled_from(sorted(REMOVALS)))
def test_sweep_equals_surgery(case, removal):
    c = Case(case)
    cut = all_logits(operated(c.model, c.i, c.kept, removal, c.features.mean(axis=0)), c.split)
    assert c.swept(removal) == pytest.approx(cut, rel=1e-4, abs=1e-4)


@given(cases)
def test_structural_equals_zeroing_the_map_after_relu(case):
    c = Case(case)
    masked = torch.from_numpy(c.features.copy())
    masked[:, c.removed] = 0
    with torch.inference_mode():
        expected = c.model.after(c.i, masked).numpy()
    assert all_logits(physically_smaller(c.model, c.i, c.kept), c.split) == pytest.approx(expected, rel=1e-4, abs=1e-4)


@given(cases)
def test_zero_weights_equals_structural_plus_the_folded_constant(case):
    c = Case(case)
    pooled = c.pooled(operated(c.model, c.i, c.kept, "zero_weights", c.features.mean(axis=0)))
    constants = c.replacement("zero_weights")
    expected = np.broadcast_to(constants[c.removed], pooled[:, c.removed].shape)
    assert pooled[:, c.removed] == pytest.approx(expected, abs=1e-5)
    assert np.array_equal(pooled[:, c.kept], c.features[:, c.kept])


@given(cases)
def test_physically_smaller_equals_torch_pruning(case):
    """Torch-Pruning is independent: it traces the network to find the weights that depend on a channel."""
    c = Case(case)
    inputs, _ = next(c.split.batches(100))
    expected = random_network(c.model.architecture, 0)
    expected.load_state_dict(c.model.state_dict())
    if len(c.removed):
        graph = torch_pruning.DependencyGraph().build_dependency(expected, example_inputs=inputs)
        graph.get_pruning_group(
            expected.conv(c.i), torch_pruning.prune_conv_out_channels, idxs=c.removed.tolist()
        ).prune()
    small = physically_smaller(c.model, c.i, c.kept)
    assert {n: t.shape for n, t in small.state_dict().items()} == {n: t.shape for n, t in expected.state_dict().items()}
    with torch.inference_mode():
        assert small(inputs).numpy() == pytest.approx(expected.eval()(inputs).numpy(), rel=1e-4, abs=1e-4)


@given(cases)
def test_cost_equals_torchs_own_count(case):
    """Counted on the physically smaller network: parameters by torch, MACs by a hook on every layer."""
    c = Case(case)
    small, counted = physically_smaller(c.model, c.i, c.kept), []

    def count(layer, inputs, output):
        positions = output[0].numel() // output.shape[1]
        counted.append(layer.weight.numel() * positions)

    for layer in small.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            layer.register_forward_hook(count)
    size = c.model.architecture.image_size
    small(torch.zeros(1, c.model.architecture.in_channels, size, size))
    expected = {"params": sum(p.numel() for p in small.parameters()), "macs": sum(counted)}
    assert cost(c.weights, c.layer, len(c.kept)) == expected


@given(cases, st.sampled_from(sorted(REMOVALS)))
def test_the_size_that_torch_counts_is_that_of_the_row(case, removal):
    c = Case(case)
    left = len(c.kept) if REMOVALS[removal].smaller else len(c.order)
    assert size_of(c.model, c.i, c.kept, removal) == cost(c.weights, c.layer, left)


@given(cases)
def test_the_network_is_rebuilt_from_its_plain_arrays(case):
    c = Case(case)
    rebuilt = model_of(c.weights)
    assert c.model.architecture.model_copy(update={"dropout": 0.0}) == rebuilt.architecture
    assert np.array_equal(all_logits(rebuilt, c.split), all_logits(c.model, c.split))


def test_evaluator_gives_one_row_for_each_k(tmp_path):
    """Reads files as the workflow writes them; checks the columns, and that the numbers depend on K."""
    architecture = Architecture(
        in_channels=2, image_size=12, channels=[3, 8], kernel_size=3, hidden=[9, 5], dropout=0.5
    )
    model, split = random_network(architecture, 4), random_split(architecture, 4, pairs=400, images=40)
    collect(model, 2, split, 64, tmp_path)
    save_weights(tmp_path / "weights.npy", model)
    save_array(tmp_path / "labels.npy", split.labels.numpy())
    files = (tmp_path / f for f in ("features.npy", "labels.npy", "weights.npy"))
    evaluator = Evaluator(*files, "conv2", tmp_path / "mean_features.npy")
    order = np.arange(8)[::-1]
    rows = evaluator.rows(order, range(8), "structural")
    assert [row["channels_left"] for row in rows] == list(range(8, 0, -1))
    for k, row in enumerate(rows):
        masked = torch.from_numpy(np.load(tmp_path / "features.npy"))
        masked[:, order[:k].copy()] = 0
        with torch.inference_mode():
            loss = torch.nn.functional.cross_entropy(model.head(masked), split.labels)
        assert row["log_loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert rows[0]["log_loss"] != rows[7]["log_loss"]
    assert rows[3]["conv_weight_shape"] == "5x3x3x3"
    assert evaluator.rows(order, [3], "zero_weights")[0]["conv_weight_shape"] == "8x3x3x3"
    assert rows[0]["compression_ratio"] == 1.0 < rows[1]["compression_ratio"] < rows[7]["compression_ratio"]
    assert load_arrays(tmp_path / "weights.npy")["conv2.weight"].shape == (8, 3, 3, 3)
    assert architecture.channels == [3, 8]


def test_an_earlier_convolution_has_the_same_rows(tmp_path):
    """For each K and removal, the rows equal those of the pruned torch network. K = P is refused."""
    architecture = Architecture(in_channels=2, image_size=12, channels=[5, 4], kernel_size=3, hidden=[9], dropout=0.5)
    model, split = random_network(architecture, 6), random_split(architecture, 6, pairs=300, images=40)
    collect(model, 1, split, 64, tmp_path)
    save_weights(tmp_path / "weights.npy", model)
    save_array(tmp_path / "labels.npy", split.labels.numpy())
    files = (tmp_path / f for f in ("features.npy", "labels.npy", "weights.npy"))
    evaluator, order = TorchEvaluator(*files, "conv1", tmp_path / "mean_features.npy"), np.array([3, 0, 4, 1, 2])
    for removal in REMOVALS:
        rows = evaluator.rows(order, [4, 0, 2, 1, 3], removal)
        assert [row["k"] for row in rows] == [4, 0, 2, 1, 3]
        for row in rows:
            kept = kept_channels(order, row["k"])
            cut = all_logits(operated(model, 1, kept, removal, evaluator.mean_features), split)
            loss = torch.nn.functional.cross_entropy(torch.from_numpy(cut), split.labels)
            assert row["log_loss"] == pytest.approx(loss.item(), rel=1e-4)
            assert row["conv_weight_shape"] == ("5x2x3x3" if removal == "zero_weights" else f"{len(kept)}x2x3x3")
    with pytest.raises(StudyError, match=r"K = 5 is outside 0 … 4"):
        evaluator.rows(order, [5], "structural")
