"""Losses without a channel, compared with their definition; ties, threads, and channels with very large values."""

import numpy as np
import pytest
from hypothesis import given
from prunecurve.ranking import numpy_losses as module
from prunecurve.ranking.validation_set import ValidationSet
from prunecurve.ranking.numpy_losses import Losses
from prunecurve.ranking.orders import backward
from prunecurve.sweep.backends.numpy_backend import Backend
from test_head import cases, everything, layer_file, plain


def balanced_loss(features, weights, removed, labels):
    """Compute the class-balanced loss by definition, in float64."""
    order = np.array([*removed, *np.setdiff1d(np.arange(features.shape[1]), removed)])
    logits = plain(features, weights, order, len(removed), np.zeros(features.shape[1:]))
    each = np.logaddexp(0, (logits[:, 1] - logits[:, 0]) * np.where(labels == 1, -1, 1))
    return sum(0.5 * each[labels == c].mean() for c in (0, 1) if (labels == c).any())


def losses_of(features, labels, weights, threads=1):
    layer = layer_file(weights, features.shape[1])
    return Losses(ValidationSet(features, labels, layer, Backend(layer), threads))


@given(cases)
def test_losses_after_each_change_and_along_an_order(case):
    features, weights, order, rng = everything(*case)
    labels, removed = rng.integers(0, 2, len(features)), {int(c) for c in order[: len(order) // 2 + 1]}

    def expected(sets):
        return pytest.approx(
            [balanced_loss(features, weights, list(each), labels) for each in sets], rel=1e-5, abs=1e-6
        )

    losses = losses_of(features, labels, weights)
    for channel in removed:
        losses.change(channel)
    assert losses.left == sorted(set(range(len(order))) - removed)
    assert losses.changed(range(len(order))) == expected(removed ^ {c} for c in range(len(order)))
    along = losses.along(np.array([order, order[::-1]]))
    assert along.ravel() == expected(each[:k] for each in (order, order[::-1]) for k in range(len(order) + 1))
    restored = removed.pop()
    losses.change(restored)
    assert [losses.now()] == expected([removed])


def test_threads_give_the_same_bytes(monkeypatch):
    monkeypatch.setattr(module, "ROWS", 16)
    features, weights, _, rng = everything(1, 20, 90, 2, [9, 5])
    labels, found = rng.integers(0, 2, 90), []
    for threads in (1, 2):
        losses = losses_of(features, labels, weights, threads)
        found.append((losses.changed(range(20)).tobytes(), backward(losses)))
    assert found[0] == found[1]


def test_ties_go_by_channel_number():
    """Channels 1, 2, 3 and 4 are equal. Channels 0 and 5 are dead and do not change the loss."""
    features, weights, _, rng = everything(2, 6, 40, 1, [7])
    features[:, 2:5] = features[:, 1:2]
    weights["linear1.weight"][:, 2:5] = weights["linear1.weight"][:, 1:2]
    features[:, [0, 5]] = 0
    losses = losses_of(features, rng.integers(0, 2, 40), weights)
    each, order = losses.changed(range(6)), backward(losses)
    assert len(set(each[1:5])) == 1 and each[0] == each[5]
    assert order.index(0) < order.index(5)
    assert [c for c in order if c in (1, 2, 3, 4)] == [1, 2, 3, 4]


@pytest.mark.parametrize("size", [1e4, 1e6])
def test_a_huge_channel_leaves_nothing_behind(size):
    features, weights, _, rng = everything(4, 12, 300, 2, [10, 6])
    features[:, 7] *= np.float32(size)
    labels = rng.integers(0, 2, 300)
    losses, expected = losses_of(features, labels, weights), balanced_loss(features, weights, [7], labels)
    assert losses.changed([7]) == pytest.approx([expected], rel=1e-5)
    losses.change(7)
    assert losses.now() == pytest.approx(expected, rel=1e-5)
