"""The table of a network's layers, against networks that Torch-Pruning makes smaller."""

import pytest
import torch
from conftest import random_network
from prunecurve.model.conv_net import Architecture
from prunecurve.graph.layer_table import layer_table, layer_text
from test_channels import Network, conv, pooled
from prunecurve.verification.surgery import size_of
from torch import nn

SHAPE = (2, 16, 16)
BUILT_IN = Architecture(in_channels=2, image_size=16, classes=3, channels=[4, 6, 5], hidden=[9, 7])


@pytest.fixture(scope="module")
def model():
    return random_network(BUILT_IN, 0)


@pytest.fixture(scope="module")
def rows(model):
    return {row["layer"]: row for row in layer_table(model, SHAPE)}


def test_one_row_per_layer_in_the_order_of_the_network(rows):
    assert list(rows) == ["conv1", "conv2", "conv3", "linear1", "linear2", "linear3"]
    assert [row["channels"] for row in rows.values()] == [4, 6, 5, 9, 7, 3]
    assert [row["backend"] for row in rows.values()] == ["torch", "torch", "numpy", "numpy", "numpy", ""]
    assert {name: row["refused"] for name, row in rows.items() if row["refused"]} == {
        "linear3": "its channels reach the output of the network"
    }


@pytest.mark.parametrize("layer", ["conv1", "conv2", "conv3", "linear1", "linear2"])
def test_what_belongs_to_the_channels_is_what_torch_pruning_removes(model, rows, layer):
    """Without all channels but one, this share of it is gone: no weight is between two channels of these layers."""
    row, example = rows[layer], torch.zeros(1, *SHAPE)
    count = row["channels"]
    whole = size_of(model, layer, torch.arange(0).numpy(), "structural", example)
    cut = size_of(model, layer, torch.arange(count - 1).numpy(), "structural", example)
    for name in ("params", "macs"):
        assert whole[name] - cut[name] == row[name] * (count - 1) / count
        assert row[f"{name}_share"] == row[name] / whole[name]


def test_the_cost_of_every_k_is_that_of_the_layers_behind(model, rows):
    def macs(*layers: str) -> int:
        """Return the MACs of these layers: with padding, convolution i has maps of 16, 8 and 4 pixels."""
        sizes = {"conv1": 2 * 4 * 9 * 256, "conv2": 4 * 6 * 9 * 64, "conv3": 6 * 5 * 9 * 16}
        sizes |= {"linear1": 5 * 4 * 9, "linear2": 9 * 7, "linear3": 7 * 3}
        return sum(sizes[layer] for layer in layers)

    total = macs("conv1", "conv2", "conv3", "linear1", "linear2", "linear3")
    # In torch, conv2 reads 3, 2 and 1 of 4 channels. In numpy, linear1 adds the channels of conv3 once.
    behind = macs("conv3", "linear1", "linear2", "linear3")
    assert rows["conv1"]["passes"] * total == pytest.approx(macs("conv2") * (3 + 2 + 1) / 4 + 3 * behind)
    behind = macs("linear2", "linear3")
    assert rows["conv3"]["passes"] * total == pytest.approx(macs("linear1") + 4 * behind)


def test_layers_that_cannot_be_pruned_have_their_reason():
    def residual(net, x):
        x = net.first(x)
        return net.head(pooled(net.depth(torch.relu(x + net.second(x)))))

    modules = {"first": conv(3, 6), "second": conv(6, 6), "depth": conv(6, 6, groups=6), "head": nn.Linear(6, 4)}
    rows = layer_table(Network(residual, **modules), (3, 8, 8))
    refused = {row["layer"]: row["refused"] for row in rows}
    assert refused == {
        "first": "",
        "second": "",
        "depth": "it is depthwise; its channels are those of first, second and are pruned with them",
        "head": "its channels reach the output of the network",
    }
    first, second = rows[:2]
    assert first["group"] == second["group"] == 1 and first["together_with"] == "second"
    assert all(first[name] == second[name] for name in ("params", "macs", "passes"))
    text = layer_text(rows, (3, 8, 8))
    assert "depth   Conv2d         6  not prunable: it is depthwise; its channels are those of first, second" in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_text_has_all_rows_and_is_narrow(rows):
    text = layer_text(list(rows.values()), SHAPE)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0] == "Layers of the network, for inputs of 2 × 16 × 16"
    assert [line.split()[0] for line in lines[3:9]] == list(rows)
    assert f"{rows['conv3']['params']:,}" in lines[5] and "numpy" in lines[5]
