"""What stands in the place of a removed channel: each kind of removal is the map that the next layer sees instead.

In eval mode batch normalisation acts on each channel alone, so removing channels of a
convolution leaves its other channels' maps untouched. A removal therefore is fully told by the
pooled map (h, w) that takes each removed channel's place.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from prunecurve.cost import block_of


class Removal(NamedTuple):
    """A kind of removal: `stand_in(weights, layer, mean_features)` (P, h, w); is the network `smaller`?"""

    stand_in: Callable[[Mapping[str, np.ndarray], str, np.ndarray], np.ndarray]
    smaller: bool


def structural(weights: Mapping[str, np.ndarray], layer: str, mean_features: np.ndarray) -> np.ndarray:
    """The channel is gone from convolution, batch normalisation and next layer: its map is zero."""
    return np.zeros(mean_features.shape, np.float32)


def zero_weights(weights: Mapping[str, np.ndarray], layer: str, mean_features: np.ndarray) -> np.ndarray:
    """The reference experiment's `conv.weight[c] = 0`, with bias b and batch normalisation kept.

    The channel becomes the constant max(0, β − γ·(μ − b)/√(σ² + ε)); pooling keeps it.
    """
    i = block_of(layer)
    bias, mean = weights[f"conv{i}.bias"].astype(np.float64), weights[f"bn{i}.running_mean"]
    scale = weights[f"bn{i}.weight"] / np.sqrt(weights[f"bn{i}.running_var"].astype(np.float64) + weights["bn_eps"])
    constant = np.maximum(0.0, weights[f"bn{i}.bias"] - scale * (mean - bias))
    return np.broadcast_to(constant[:, None, None], mean_features.shape)


def mean_replacement(weights: Mapping[str, np.ndarray], layer: str, mean_features: np.ndarray) -> np.ndarray:
    """The channel's mean pooled map over the ranking split, the same for every pair."""
    return mean_features


REMOVALS = {
    "structural": Removal(structural, smaller=True),
    "zero_weights": Removal(zero_weights, smaller=False),
    "mean_replacement": Removal(mean_replacement, smaller=True),
}
