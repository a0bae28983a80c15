"""The sums of the sweep: always byte-identical, correct on every input, without rounding errors of removed channels."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prunecurve.sweep.backends import numpy_backend
from prunecurve.graph.layer_file import LayerFile, Linear
from prunecurve.sweep.backends.numpy_backend import GROUP, STORED, Backend
from prunecurve.data.basic_metrics import predict


def layers(rng, channels, area, widths, integers=False, classes=2):
    """Return random weights of linear layers. integers: whole numbers, whose float32 sums are exact in any order."""
    sizes = [channels * area, *widths, classes]
    weights = {}
    for i, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        for name, shape in (("weight", (outputs, inputs)), ("bias", (outputs,))):
            drawn = rng.integers(-2, 3, shape) if integers else rng.normal(0, 1 / np.sqrt(inputs), shape)
            weights[f"linear{i}.{name}"] = drawn.astype(np.float32)
    return weights


def layer_file(weights, channels):
    """Return a layer that these linear layers follow, with ReLU between them."""
    count = len(weights) // 2
    linears = tuple(
        Linear(weights[f"linear{i}.weight"], weights[f"linear{i}.bias"], "relu" if i < count else "identity", 0.0)
        for i in range(1, count + 1)
    )
    maps, filters = np.zeros((channels, 1, 1), np.float32), np.zeros((channels, 1, 1, 1), np.float32)
    sizes = np.arange(channels, 0, -1)
    classes = len(linears[-1].bias)
    alone = np.zeros((channels, 0), np.float32)
    return LayerFile("conv1", "numpy", classes, filters, alone, None, maps.shape, maps, (1, 1), sizes, sizes, linears)


def backend_of(weights, channels):
    return Backend(layer_file(weights, channels))


def plain(features, weights, order, k, replacement, dtype=np.float64):
    """Compute the logits by definition: overwrite the removed channels' maps, then one matrix product per layer."""
    x = features.astype(dtype)
    x[:, order[:k]] = replacement[order[:k]]
    x = x.reshape(len(x), -1)
    last = len(weights) // 2
    for i in range(1, last + 1):
        x = x @ weights[f"linear{i}.weight"].T.astype(dtype) + weights[f"linear{i}.bias"].astype(dtype)
        x = np.maximum(x, 0) if i < last else x
    return x


def everything(seed, channels, pairs, side, widths, integers=False, classes=2):
    rng = np.random.default_rng(seed)
    shape = (pairs, channels, side, side)
    features = (rng.integers(0, 4, shape) if integers else rng.exponential(1, shape)).astype(np.float32)
    weights = layers(rng, channels, side * side, widths, integers, classes)
    return features, weights, rng.permutation(channels), rng


cases = st.tuples(
    st.integers(0, 2**31),
    st.sampled_from([2, 7, GROUP, GROUP + 1, STORED - 1, STORED, STORED + 1, 2 * STORED + 5]),
    st.integers(1, 9),
    st.integers(1, 3),
    st.lists(st.integers(1, 9), min_size=1, max_size=2),
)


@given(cases, st.data())
def test_every_way_to_a_k_gives_the_same_bytes(case, data):
    features, weights, order, rng = everything(*case)
    channels = len(order)
    network, replacement = backend_of(weights, channels), rng.normal(size=features.shape[1:])
    together = network.logits(features, order, range(channels), replacement)
    stored = network.partial_sums(features, order)
    assert stored.shape == (-(-channels // STORED) - 1, len(features), network.hidden)
    ks = data.draw(st.lists(st.integers(0, channels - 1), min_size=1, max_size=6, unique=True))
    for start in (None, stored):
        assert np.array_equal(network.logits(features, order, ks, replacement, start), together[ks])
        for k in ks:
            assert np.array_equal(network.logits(features, order, [k], replacement, start)[0], together[k])


def test_the_same_bytes_at_the_sizes_of_mnist():
    """BLAS chooses its kernels by size. Here: the reference network's layers, one whole block of pairs and a part.

    All K together run in two threads, each K alone in one.
    """
    features, weights, order, _ = everything(0, 128, numpy_backend.ROWS + 77, 3, [256, 64])
    network, replacement = backend_of(weights, 128), np.zeros(features.shape[1:])
    together = network.logits(features, order, range(128), replacement, threads=2)
    stored = network.partial_sums(features, order)
    for k in range(128):
        assert np.array_equal(network.logits(features, order, [k], replacement, stored)[0], together[k]), k
    for k in (0, 1, 31, 32, 33, 95, 96, 120, 127):
        assert np.array_equal(network.logits(features, order, [k], replacement)[0], together[k]), k
    batches = [network.logits(features, order, range(k, k + 16), replacement, stored) for k in range(0, 128, 16)]
    assert np.array_equal(np.concatenate(batches), together)


@given(cases, st.sampled_from([2, 3, 10]))
def test_close_to_the_definition_in_float64(case, classes):
    features, weights, order, rng = everything(*case, classes=classes)
    replacement = rng.normal(size=features.shape[1:])
    found = backend_of(weights, len(order)).logits(features, order, range(len(order)), replacement)
    for k in range(len(order)):
        assert found[k] == pytest.approx(plain(features, weights, order, k, replacement), rel=1e-4, abs=1e-4)


@given(cases)
def test_ties_are_ties(case):
    """With whole numbers, sums are exact in any order. Many pairs have two equal logits, which must stay equal."""
    features, weights, order, _ = everything(*case, integers=True)
    # Small weights give small differences between logits, so differences of zero are common.
    weights[f"linear{len(weights) // 2}.weight"] //= 2
    replacement = np.zeros(features.shape[1:])
    found = backend_of(weights, len(order)).logits(features, order, range(len(order)), replacement)
    for k in range(len(order)):
        for dtype in (np.float32, np.float64):
            expected = plain(features, weights, order, k, replacement, dtype)
            assert np.array_equal(found[k], expected)
            assert np.array_equal(predict(found[k]), predict(expected))


@pytest.mark.parametrize("size", [1e3, 1e7, 1e30])
@pytest.mark.parametrize("channels", [GROUP * 2, STORED * 2 + 3])
def test_nothing_is_left_of_what_was_removed(size, channels):
    """The channels that are removed first are larger by the factor `size`; they must leave no rounding error.

    A sum of all channels minus the removed ones, in float32, fails this test.
    """
    features, weights, order, _ = everything(5, channels, 200, 2, [16, 6])
    gone = channels // 2
    features[:, order[:gone]] *= np.float32(size)
    replacement = np.zeros(features.shape[1:])
    network = backend_of(weights, channels)
    swept = network.logits(features, order, range(channels), replacement, network.partial_sums(features, order))
    for k in range(gone, channels):
        expected = plain(features, weights, order, k, replacement)
        assert swept[k] == pytest.approx(expected, rel=1e-4, abs=1e-4)
        clear = np.abs(expected[:, 1] - expected[:, 0]) > 1e-4
        assert np.array_equal(predict(swept[k])[clear], predict(expected)[clear])
    # Check that the test can fail: subtraction leaves an error.
    first, ranked = network.blocks, [order[:gone], order[gone:]]
    lost, kept = (np.einsum("nca,hca->nh", features.reshape(200, channels, -1)[:, c], first[:, c]) for c in ranked)
    if size > 1e5:
        assert np.abs(((kept + lost) - lost) - kept).max() > 0.05


@given(cases)
def test_the_unpruned_network_is_the_same_in_every_ranking(case):
    features, weights, order, _ = everything(*case)
    network, replacement = backend_of(weights, len(order)), np.zeros(features.shape[1:])
    one, other = (network.logits(features, o, [0, 1], replacement)[0] for o in (order, order[::-1]))
    assert np.array_equal(one, other)
