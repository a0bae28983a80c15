"""Evaluations in torch run a fused graph, with the results of the network's own operations."""

import numpy as np
import pytest
import torch
from prunecurve.graph.layers import PrunableLayer
from test_channels import Network, conv, randomised
from torch import fx, nn
from torch.nn import functional

SHAPE = (3, 8, 8)


@pytest.fixture
def model():
    """Batch normalisation after a convolution, after a sum, after a convolution that runs twice, and after ReLU."""

    def forward(net, x):
        x = net.first(x)
        y = net.relu(net.after_shared(net.shared(x)))
        x = functional.relu(net.after_sum(net.shared(y) + x))
        x = torch.relu(net.after_depth(net.depth(x)))
        # Both the outputs of the convolution and their ReLU are read, so it must not overwrite them.
        x = net.after_last(net.last(x))
        return net.head(net.after_relu(x.relu() - x).mean((2, 3)))

    layers = {"first": conv(3, 6), "shared": conv(6, 6, bias=False), "depth": nn.Conv2d(6, 6, 3, groups=6)}
    norms = {"after_sum": nn.BatchNorm2d(6), "after_shared": nn.BatchNorm2d(6), "after_relu": nn.BatchNorm2d(5)}
    norms |= {"after_depth": nn.BatchNorm2d(6, affine=False), "after_last": nn.BatchNorm2d(5), "relu": nn.ReLU()}
    return randomised(Network(forward, **layers, **norms, last=conv(6, 5, 1), head=nn.Linear(5, 3)))


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


def test_weights_that_are_read_elsewhere_and_functions_of_a_user_stay_as_they_are():
    """Convolutions whose weights are read in another way, and functions of a user that are named as those of torch."""

    def forward(net, x):
        x = net.one(net.second(torch.relu(net.reader(net.first(x)))))
        x = functional.conv2d(relu(x), net.second.weight, padding=1)
        x = functional.relu(add(x, 1.0)) + x
        return net.head(net.leaf(net.other(net.leaf.conv(x))).mean((2, 3)))

    modules = {"first": conv(3, 6), "reader": conv(6, 6, 1), "second": conv(6, 6), "leaf": Leaf()}
    norms = {"one": nn.BatchNorm2d(6), "other": nn.BatchNorm2d(6)}
    network = randomised(Network(forward, **modules, **norms, head=nn.Linear(6, 3)))
    layer = PrunableLayer(network, "first", SHAPE, leaf_modules=["leaf"])
    x = torch.randn(7, *SHAPE)
    with torch.no_grad():
        values = layer.crossing(x)
        expected = [layer.downstream.logits(values, range(k)) for k in range(6)]
        layer.downstream.fuse()
        for k in range(6):
            assert torch.allclose(layer.downstream.logits(values, range(k)), expected[k], atol=1e-6)
        assert torch.allclose(layer.traced(x), network(x), atol=1e-6)
