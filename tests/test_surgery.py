"""Equalities between the kinds of removal, on random networks with random batch normalisation and biases."""

import numpy as np
import pytest
import torch
from conftest import after_block, block_maps, layer_of, random_network, random_split
from hypothesis import given
from hypothesis import strategies as st
from prunecurve.errors import StudyError
from prunecurve.data.batches import all_logits
from prunecurve.arrays import save_array
from prunecurve.graph.description import describe
from prunecurve.graph.layer_file import save_layer
from prunecurve.model.conv_net import Architecture
from prunecurve.model.model_file import ModelFile
from prunecurve.model.network_file import save_model
from prunecurve.activations.collection import collect
from prunecurve.sweep.evaluation import Evaluator
from prunecurve.sweep.removal import REMOVALS
from prunecurve.verification.surgery import operated, size_of, structural
from torch import nn

architectures = st.builds(
    Architecture,
    in_channels=st.sampled_from([2, 6]),
    image_size=st.integers(9, 14),
    channels=st.lists(st.integers(2, 7), min_size=1, max_size=3),
    kernel_size=st.sampled_from([1, 3, 5]),
    hidden=st.lists(st.integers(2, 9), min_size=1, max_size=3),
    dropout=st.just(0.5),
    classes=st.sampled_from([2, 2, 5]),
)
cases = st.tuples(architectures, st.integers(0, 2**31), st.floats(0, 1, exclude_max=True), st.integers(0, 2))


class Case:
    """A random network with pairs, one of its convolutions, a ranking of its channels, and the number K to remove."""

    def __init__(self, case):
        architecture, seed, share, which = case
        self.model, self.split = random_network(architecture, seed), random_split(architecture, seed)
        self.i = which % len(architecture.channels) + 1
        self.path = f"conv{self.i}"
        self.layer = describe(layer_of(self.model, self.path))
        channels = architecture.channels[self.i - 1]
        self.order = np.random.default_rng(seed).permutation(channels)
        self.k = int(share * channels)
        self.kept, self.removed = np.sort(self.order[self.k :]), np.sort(self.order[: self.k])
        self.features = self.pooled(self.model)
        self.example = next(self.split.batches(1))[0]

    @torch.inference_mode()
    def pooled(self, model) -> np.ndarray:
        return torch.cat([block_maps(model, self.i, inputs)["pool"] for inputs, _ in self.split.batches(5)]).numpy()

    def replacement(self, removal: str) -> np.ndarray:
        means = self.features.mean(axis=0).reshape(self.layer.zero_filter.shape)
        return REMOVALS[removal].replacement(self.layer, means)

    def operated(self, removal: str) -> torch.nn.Module:
        means = self.features.mean(axis=0)
        return operated(self.model, self.path, self.removed, removal, self.example, means)


@given(cases, st.sampled_from(sorted(REMOVALS)))
def test_sweep_equals_surgery(tmp_path_factory, case, removal):
    c, folder = Case(case), tmp_path_factory.mktemp("network")
    assert c.layer.backend == ("numpy" if c.i == len(c.model.architecture.channels) else "torch")
    evaluator = Evaluator(*written(folder, c.model, c.split, c.path), ModelFile(folder / "model.pt"))
    swept = evaluator.logits(c.order, [c.k], removal)[0]
    assert swept == pytest.approx(all_logits(c.operated(removal), c.split), rel=1e-4, abs=1e-4)


@given(cases)
def test_the_built_in_network_is_its_modules_in_order_in_training_too(case):
    c = Case(case)
    c.model.dropout.p = 0.0
    inputs, _ = next(c.split.batches(100))
    with torch.inference_mode():
        assert torch.equal(c.model(inputs), after_block(c.model, c.i, block_maps(c.model, c.i, inputs)["pool"]))
        # In training, ReLU comes after pooling. Batch normalisation is kept in evaluation mode to compare.
        c.model.training = True
        assert torch.equal(c.model(inputs), c.model.eval()(inputs))


@given(cases)
def test_zero_weights_equals_structural_plus_the_folded_constant(case):
    """The constant, by its formula, is max(0, β − γ·(μ − b)/√(σ² + ε)), which pooling does not change."""
    c = Case(case)
    pooled = c.pooled(c.operated("zero_weights"))
    conv, bn = getattr(c.model, c.path), getattr(c.model, f"bn{c.i}")
    scale = bn.weight / torch.sqrt(bn.running_var + bn.eps)
    constant = (bn.bias - scale * (bn.running_mean - conv.bias)).clamp(min=0).detach().numpy()
    shape = pooled.shape[1:]
    replacement = c.replacement("zero_weights").reshape(shape)
    assert replacement == pytest.approx(np.broadcast_to(constant[:, None, None], shape), abs=1e-5)
    expected = np.broadcast_to(replacement[c.removed], pooled[:, c.removed].shape)
    assert np.array_equal(pooled[:, c.removed], expected)
    assert np.array_equal(pooled[:, c.kept], c.features[:, c.kept])


def written(folder, model, split, path: str) -> tuple:
    """Write the files of a layer as the workflow does; return those that an Evaluator reads."""
    collect(layer_of(model, path), split, 64, folder)
    save_layer(folder / "layer.npy", describe(layer_of(model, path)))
    save_model(folder / "model.pt", model)
    save_array(folder / "labels.npy", split.labels.numpy())
    return tuple(folder / f for f in ("features.npy", "labels.npy", "layer.npy", "mean_features.npy"))


@pytest.mark.parametrize("path", ["conv1", "conv2", "linear1", "linear2"])
def test_any_layer_has_the_rows_of_surgery(tmp_path, path):
    """For each K and removal, the rows equal those of the pruned torch network. K = P is refused."""
    architecture = Architecture(in_channels=2, image_size=12, channels=[5, 5], hidden=[5, 5])
    model, split = random_network(architecture, 6), random_split(architecture, 6, pairs=300, images=40)
    evaluator = Evaluator(*written(tmp_path, model, split, path), model=ModelFile(tmp_path / "model.pt"))
    order, example = np.array([3, 0, 4, 1, 2]), next(split.batches(1))[0]
    filters = "x".join(map(str, getattr(model, path).weight.shape[1:]))
    for removal in REMOVALS:
        rows = evaluator.rows(order, [4, 0, 2, 1, 3], removal)
        assert [row["k"] for row in rows] == [4, 0, 2, 1, 3]
        for row in rows:
            removed = np.sort(order[: row["k"]])
            cut = all_logits(operated(model, path, removed, removal, example, evaluator.mean_features), split)
            loss = torch.nn.functional.cross_entropy(torch.from_numpy(cut), split.labels)
            assert row["log_loss"] == pytest.approx(loss.item(), rel=1e-4)
            left = 5 if removal == "zero_weights" else 5 - row["k"]
            assert row["conv_weight_shape"] == f"{left}x{filters}" and row["channels_left"] == 5 - row["k"]
            size = size_of(model, path, removed, removal, example)
            assert {name: row[name] for name in size} == size
            assert row["compression_ratio"] == rows[1]["params"] / row["params"]
    with pytest.raises(StudyError, match=r"K = 5 is outside 0 … 4"):
        evaluator.rows(order, [5], "structural")


def test_wrong_files_of_a_layer_are_refused(tmp_path):
    """A layer before a convolution: without the network, with the features of another layer."""
    architecture = Architecture(in_channels=2, image_size=12, channels=[5, 4], kernel_size=3, hidden=[9], dropout=0.5)
    model, split = random_network(architecture, 6), random_split(architecture, 6)
    files, network = written(tmp_path, model, split, "conv1"), ModelFile(tmp_path / "model.pt")
    with pytest.raises(StudyError, match=r"more than linear layers follow conv1; give the network with --model"):
        Evaluator(*files)
    save_array(files[0], np.zeros((len(split), 7), np.float32))
    with pytest.raises(StudyError, match=r"features.npy is not of the layer conv1 \(its shape is \(12, 7\)\)"):
        Evaluator(*files, model=network)


class Gate(torch.nn.Module):
    """A gate of channels; Torch-Pruning cannot follow its `view` to a linear layer."""

    def __init__(self):
        super().__init__()
        self.conv, self.squeeze, self.excite = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 4), nn.Linear(4, 8)
        self.head = nn.Linear(8 * 16, 3)

    def forward(self, x):
        x = torch.relu(self.conv(x))
        b, c, _, _ = x.size()
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(x.mean((2, 3))))))
        return self.head((x * gate.view(b, c, 1, 1)).flatten(1))


def test_a_network_that_torch_pruning_cannot_follow_is_named():
    model, example = Gate().eval(), torch.zeros(1, 3, 4, 4)
    with pytest.raises(
        StudyError, match=r"layer: conv: Torch-Pruning, which verifies removals, removes \d+ channels in"
    ):
        structural(model, {"conv": np.array([1])}, example)
