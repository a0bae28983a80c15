"""Features, mean maps and statistics, compared with numpy on the network's maps."""

import numpy as np
import pytest
import torch
from conftest import after_block, block_maps, layer_of, random_network, random_split
from prunecurve.activations.collection import collect
from prunecurve.arrays import load_array
from prunecurve.tables import read_columns
from prunecurve.graph.points import POINTS
from prunecurve.model.conv_net import Architecture

ARCHITECTURE = Architecture(in_channels=2, image_size=15, channels=[3, 5], kernel_size=3, hidden=[6], dropout=0.5)
STATISTICS = {
    "mean": lambda x: x.mean(axis=(0, 2, 3)),
    "std": lambda x: x.std(axis=(0, 2, 3)),
    "min": lambda x: x.min(axis=(0, 2, 3)),
    "max": lambda x: x.max(axis=(0, 2, 3)),
    "inactive_share": lambda x: (x <= 0).mean(axis=(0, 2, 3)),
}


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    model, split = random_network(ARCHITECTURE, 3), random_split(ARCHITECTURE, 3, pairs=50)
    with torch.no_grad():
        # Make one channel dead: batch normalisation shifts it far below zero.
        model.bn2.bias[2] = -1e4
    folder = tmp_path_factory.mktemp("activations")
    collect(layer_of(model, "conv2"), split, 16, folder)
    with torch.inference_mode():
        inputs = torch.cat([inputs for inputs, _ in split.batches(16)])
        maps = {point: array.numpy() for point, array in block_maps(model, 2, inputs).items()}
    return folder, maps, model, inputs


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("statistic", STATISTICS)
def test_statistics(collected, point, statistic):
    folder, maps, _, _ = collected
    channel, found = read_columns(folder / "channels.csv", "channel", f"{point}_{statistic}")
    assert channel.tolist() == [0, 1, 2, 3, 4]
    assert found == pytest.approx(STATISTICS[statistic](maps[point].astype(np.float64)), rel=1e-5, abs=1e-6)


def test_maps_and_features(collected):
    folder, maps, model, inputs = collected
    features = load_array(folder / "features.npy")
    assert (features.shape, features.dtype) == ((50, 5, 3, 3), np.float32)
    assert features == pytest.approx(maps["pool"], abs=1e-5)
    assert load_array(folder / "mean_maps.npy", shape=(5, 7, 7)) == pytest.approx(maps["relu"].mean(axis=0), abs=1e-5)
    assert load_array(folder / "mean_features.npy") == pytest.approx(maps["pool"].mean(axis=0), abs=1e-5)
    with torch.inference_mode():
        expected = model(inputs)
        assert after_block(model, 2, torch.from_numpy(features)).numpy() == pytest.approx(expected.numpy(), abs=1e-5)


def test_a_linear_layer_has_maps_of_one_position(tmp_path):
    model, split = random_network(ARCHITECTURE, 3), random_split(ARCHITECTURE, 3, pairs=50)
    collect(layer_of(model, "linear1"), split, 16, tmp_path)
    with torch.inference_mode():
        inputs = torch.cat([inputs for inputs, _ in split.batches(16)])
        z = model.linear1(block_maps(model, 2, inputs)["pool"].flatten(1)).numpy()
    features = load_array(tmp_path / "features.npy", shape=(50, 6, 1, 1))
    assert features[:, :, 0, 0] == pytest.approx(np.maximum(z, 0), abs=1e-5)
    found = read_columns(tmp_path / "channels.csv", "conv_mean", "bn_mean", "relu_mean", "pool_mean")
    for values, expected in zip(found, (z, z, np.maximum(z, 0), np.maximum(z, 0))):
        assert values == pytest.approx(expected.mean(axis=0), abs=1e-5)
