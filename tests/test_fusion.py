"""Evaluations in torch run a fused graph, with the results of the network's own operations."""

import numpy as np
import pytest
import torch
from prunecurve.graph.layers import PrunableLayer
from test_channels import randomised
from torch import fx, nn
from torch.nn import functional

SHAPE = (3, 8, 8)


class Block(nn.Module):
    """Batch normalisation after a convolution, after a sum, after a convolution that runs twice, and after ReLU."""

    def __init__(self):
        super().__init__()
        self.first, self.shared = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.depth, self.last = nn.Conv2d(6, 6, 3, groups=6), nn.Conv2d(6, 5, 1)
        self.after_depth, self.after_last = nn.BatchNorm2d(6, affine=False), nn.BatchNorm2d(5)
        self.after_sum, self.after_shared, self.after_relu = nn.BatchNorm2d(6), nn.BatchNorm2d(6), nn.BatchNorm2d(5)
        self.relu, self.head = nn.ReLU(), nn.Linear(5, 3)

    def forward(self, x):
        x = self.first(x)
        y = self.relu(self.after_shared(self.shared(x)))
        x = functional.relu(self.after_sum(self.shared(y) + x))
        x = torch.relu(self.after_depth(self.depth(x)))
        # Both the outputs of the convolution and their ReLU are read, so it must not overwrite them.
        x = self.after_last(self.last(x))
        return self.head(self.after_relu(x.relu() - x).mean((2, 3)))


@pytest.fixture
def model():
    return randomised(Block())


@pytest.mark.parametrize("path", ["first", "last"])
def test_a_fused_graph_gives_the_same_logits(model, path):
    x, order = torch.randn(7, *SHAPE), np.random.default_rng(0)
    with torch.no_grad():
        layer, fused = PrunableLayer(model, path, SHAPE), PrunableLayer(model, path, SHAPE)
        fused.downstream.fuse()
        values = layer.crossing(x)
        copies = [value.clone() for value in values]
        constant = torch.randn(layer.downstream.readings[-1].place.stop)
        for k in range(layer.channels):
            removed = order.permutation(layer.channels)[:k]
            for replacement in (None, constant):
                expected = layer.downstream.logits(values, removed, replacement)
                assert torch.allclose(fused.downstream.logits(values, removed, replacement), expected, atol=1e-5)
        assert all(map(torch.equal, values, copies))
        # The layers of the network itself are as before.
        assert torch.equal(fused.traced(x), layer.traced(x))
    labels = torch.arange(7) % 3
    assert fused.downstream.effects(values, labels) == pytest.approx(layer.downstream.effects(values, labels), abs=1e-5)


def test_what_a_fused_graph_leaves_out(model):
    """Only a convolution that runs once can take up the batch normalisation of its outputs."""
    layer = PrunableLayer(model, "first", SHAPE)
    layer.downstream.fuse()
    nodes = layer.downstream.module.graph.nodes
    called = [node.target for node in nodes if node.op == "call_module"]
    assert called == ["shared", "after_shared", "shared", "after_sum", "depth", "last", "after_relu", "head"]
    # The last of the four is read together with what it reads.
    assert [node.target for node in nodes if node.op == "call_method"].count("relu_") == 3
    assert "after_depth" not in layer.downstream.belonging and {"depth", "after_sum"} <= set(layer.downstream.belonging)


class Leaf(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(6, 6, 3, padding=1)

    def forward(self, x):
        return self.conv(x) if x.sum() > 0 else self.conv(x) + 1


@fx.wrap
def relu(x):
    return x.clamp(0, 0.1)


@fx.wrap
def add(x, number):
    return x


class Elsewhere(nn.Module):
    """Convolutions whose weights are read in another way, and functions of a user that are named as those of torch."""

    def __init__(self):
        super().__init__()
        self.first, self.reader = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 1)
        self.second, self.leaf = nn.Conv2d(6, 6, 3, padding=1), Leaf()
        self.one, self.other = nn.BatchNorm2d(6), nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = self.one(self.second(torch.relu(self.reader(self.first(x)))))
        x = functional.conv2d(relu(x), self.second.weight, padding=1)
        x = functional.relu(add(x, 1.0)) + x
        return self.head(self.leaf(self.other(self.leaf.conv(x))).mean((2, 3)))


def test_weights_that_are_read_elsewhere_and_functions_of_a_user_stay_as_they_are():
    network = randomised(Elsewhere())
    layer = PrunableLayer(network, "first", SHAPE, leaf_modules=["leaf"])
    x = torch.randn(7, *SHAPE)
    with torch.no_grad():
        values = layer.crossing(x)
        expected = [layer.downstream.logits(values, range(k)) for k in range(6)]
        layer.downstream.fuse()
        for k in range(6):
            assert torch.allclose(layer.downstream.logits(values, range(k)), expected[k], atol=1e-6)
        assert torch.allclose(layer.traced(x), network(x), atol=1e-6)
