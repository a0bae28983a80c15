"""Batches and blocks that are divided where their values would need too much memory: the results are the same."""

import json
import os
import sys

import numpy as np
import pytest
import torch
from conftest import PROJECT
from measuring import run_measured
from prunecurve.data import batches
from prunecurve.data.batches import Split, all_logits
from prunecurve.arrays import load_array, save_array
from prunecurve.tables import read_columns, read_rows
from prunecurve.graph.description import describe
from prunecurve.graph.layer_file import save_layer
from prunecurve.graph.layers import PrunableLayer, batch_of
from prunecurve.model.model_file import ModelFile
from prunecurve.model.network_file import built, save_model
from prunecurve.model.parameters import Network
from prunecurve.activations import collection as activations
from prunecurve.activations.collection import collect, single_maps
from prunecurve.ranking.torch_losses import Losses
from prunecurve.ranking.validation_set import ValidationSet
from prunecurve.sweep.backends.torch_backend import Backend
from prunecurve.sweep.inputs import InputFiles
from torch import nn

SIZE, COUNT = 12, 30
FILES = ("features", "mean_features", "mean_maps")


class Wide(nn.Module):
    """Its second convolution computes the largest values, its first one has the channels. width: of the second one."""

    def __init__(self, channels: int = 6, width: int = 40):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.second, self.head = nn.Conv2d(channels, width, 3, padding=1), nn.Linear(width, 3)

    def forward(self, x):
        x = torch.relu(self.norm(self.first(x)))
        return self.head(torch.relu(self.second(x)).mean((2, 3)))


# Bytes of the largest value, for one input.
LARGEST = 4 * 40 * SIZE**2


def network(**arguments: int) -> Network:
    return Network(factory=f"{__file__}:Wide", arguments=arguments)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return built(network(), {"in_channels": 3, "image_size": SIZE, "classes": 3}, 0).eval()


def split_of(size: int = SIZE, count: int = COUNT) -> Split:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    return Split.of(images, np.arange(count)[:, None], np.arange(count) % 3, "cpu")


@pytest.fixture
def seen(model):
    """The number of inputs of each forward pass of the first convolution, but for the measurement with two."""
    numbers: list[int] = []
    hook = model.second.register_forward_hook(lambda module, given, output: numbers.append(len(output)))
    yield numbers
    hook.remove()


def test_logits_of_small_batches_are_the_same(model, seen, monkeypatch):
    split = split_of()
    whole = all_logits(model, split)
    assert seen[1:] == [COUNT]
    monkeypatch.setattr(batches, "MOST_BYTES", 4 * 8 * LARGEST)
    assert all_logits(model, split) == pytest.approx(whole, abs=1e-5)
    assert max(seen[3:]) == 8 and sum(seen[3:]) == COUNT
    # A single input that needs more runs alone.
    monkeypatch.setattr(batches, "MOST_BYTES", 1)
    assert all_logits(model, split) == pytest.approx(whole, abs=1e-5)


def test_activations_of_small_batches_and_blocks_are_the_same(model, tmp_path, monkeypatch):
    layer, split = PrunableLayer(model, "first", (3, SIZE, SIZE)), split_of()
    assert batch_of(layer, 250) == 250
    collect(layer, split, 250, tmp_path / "whole")
    single_maps(layer, "relu", split, 250, tmp_path / "whole" / "maps.npy")
    monkeypatch.setattr(batches, "MOST_BYTES", 8 * 2 * LARGEST)
    # Two channels of a batch of five.
    monkeypatch.setattr(activations, "BLOCK", 8 * 2 * 5 * SIZE**2)
    assert 2 < batch_of(layer, 250) < 8 and batch_of(layer, 2) == 2
    collect(layer, split, 250, tmp_path / "divided")
    single_maps(layer, "relu", split, 250, tmp_path / "divided" / "maps.npy")
    for name in (*FILES, "maps"):
        whole, divided = (load_array(tmp_path / each / f"{name}.npy") for each in ("whole", "divided"))
        assert divided == pytest.approx(whole, abs=1e-6)
    names = list(read_rows(tmp_path / "whole" / "channels.csv")[0])
    for whole, divided in zip(
        *(read_columns(tmp_path / each / "channels.csv", *names) for each in ("whole", "divided"))
    ):
        assert divided == pytest.approx(whole, rel=1e-5, abs=1e-6)


@pytest.fixture
def files(model, tmp_path):
    """The files of the network and of its layer `first`, with and without stored values; its inputs' files."""
    split, options = split_of(), network()
    layer = PrunableLayer(model, "first", (3, SIZE, SIZE))
    save_layer(tmp_path / "layer.npy", describe(layer))
    save_model(tmp_path / "model.pt", model, {"in_channels": 3, "image_size": SIZE, "classes": 3}, 0)
    collect(layer, split, 250, tmp_path)
    arrays = {"images": split.images.numpy(), "index": split.index.numpy(), "labels": split.labels.numpy()}
    for name, array in arrays.items():
        save_array(tmp_path / f"{name}.npy", array)
    inputs = InputFiles(*(str(tmp_path / f"{name}.npy") for name in arrays))
    stored = ModelFile(str(tmp_path / "model.pt"), options.factory, options.arguments)
    return describe(layer), stored, load_array(tmp_path / "features.npy"), inputs


def test_evaluations_of_small_batches_are_the_same(files, monkeypatch):
    """Stored values and those that are computed again are divided in the same way, so their results are equal."""
    layer, model, features, inputs = files
    arguments = np.arange(6), [0, 3, 5], np.zeros(6 * SIZE**2, np.float32)
    whole = Backend(layer, model, 1, inputs).logits(features, *arguments)
    monkeypatch.setattr(batches, "MOST_BYTES", 8 * 2 * LARGEST)
    backend = Backend(layer, model, 1, inputs)
    assert backend.batch < 8
    divided = backend.logits(features, *arguments)
    assert divided == pytest.approx(whole, abs=1e-5)
    assert np.array_equal(backend.logits(features[:, :0], *arguments), divided)


def test_gradients_of_small_batches_are_the_same(files, monkeypatch):
    layer, model, features, inputs = files
    labels = np.arange(COUNT) % 3
    whole = Losses(ValidationSet(features, labels, layer, Backend(layer, model, 1, inputs))).effects()
    monkeypatch.setattr(batches, "MOST_BYTES", 30 * LARGEST)
    losses, numbers = Losses(ValidationSet(features, labels, layer, Backend(layer, model, 1, inputs))), []
    effects = losses.downstream.effects
    monkeypatch.setattr(
        losses.downstream,
        "effects",
        lambda values, labels, means: numbers.append(len(labels)) or effects(values, labels, means),
    )
    assert losses.effects() == pytest.approx(whole, abs=1e-6) and np.abs(whole).max() > 1e-3
    # Gradients need more memory than evaluations.
    assert max(numbers) < losses.backend.batch < COUNT and sum(numbers) == COUNT


def test_a_job_with_large_images_needs_no_more_than_it_asks_for(tmp_path):
    """100 inputs whose values need 3.2 MB each, at three points: as one batch, they would need 3 GB."""
    numbers = {"in_channels": 3, "image_size": 112, "classes": 3}
    options = {"channels": 64, "width": 8}
    save_model(tmp_path / "model.pt", built(network(**options), numbers, 0), numbers, 0)
    split = split_of(112, 100)
    for name in ("images", "index", "labels"):
        save_array(tmp_path / f"{name}.npy", getattr(split, name).numpy())
    command = [sys.executable, PROJECT / "workflow" / "scripts" / "collect_activations.py", "--layer", "first"]
    command += ["--split", *(tmp_path / f"{name}.npy" for name in ("images", "index", "labels"))]
    command += ["--model", tmp_path / "model.pt", "--network"]
    command += [json.dumps({"factory": f"{__file__}:Wide", "arguments": options})]
    command += ["--batch-size", 200, "--stored-mb", 1, "--device", "cpu", "--folder", tmp_path]
    # The network's file is this one, whose imports the job must find.
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "benchmarks")}
    _, megabytes = run_measured([str(word) for word in command], tmp_path, environment)
    # The rule asks for 2,000 MB.
    assert megabytes < 1_500
