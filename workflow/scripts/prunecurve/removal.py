"""What stands in the place of a removed channel: each kind of removal is the map that the head sees instead.

In eval mode batch normalisation acts on each channel alone, so removing channels of the last
convolution leaves the other channels' maps untouched. A removal therefore is fully told by the
pooled map (h, w) that takes each removed channel's place, folded into the next layer's bias.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from prunecurve.cost import layer_names


class Removal(NamedTuple):
    """A kind of removal: `stand_in(weights, mean_features)` gives the maps (P, h, w); `smaller`, if the network is."""

    stand_in: Callable[[Mapping[str, np.ndarray], np.ndarray], np.ndarray]
    smaller: bool


def structural(weights: Mapping[str, np.ndarray], mean_features: np.ndarray) -> np.ndarray:
    """The channel is gone from convolution, batch normalisation and first linear layer: its map is zero."""
    return np.zeros(mean_features.shape, np.float32)


def zero_weights(weights: Mapping[str, np.ndarray], mean_features: np.ndarray) -> np.ndarray:
    """The reference experiment's `conv.weight[c] = 0`, with bias b and batch normalisation kept.

    The channel becomes the constant max(0, β − γ·(μ − b)/√(σ² + ε)); pooling keeps it.
    """
    i = len(layer_names(weights, "conv"))
    bias, mean = weights[f"conv{i}.bias"].astype(np.float64), weights[f"bn{i}.running_mean"]
    scale = weights[f"bn{i}.weight"] / np.sqrt(weights[f"bn{i}.running_var"].astype(np.float64) + weights["bn_eps"])
    constant = np.maximum(0.0, weights[f"bn{i}.bias"] - scale * (mean - bias))
    return np.broadcast_to(constant[:, None, None], mean_features.shape)


def mean_replacement(weights: Mapping[str, np.ndarray], mean_features: np.ndarray) -> np.ndarray:
    """The channel's mean pooled map over the ranking split, folded into the bias: the network is smaller."""
    return mean_features


REMOVALS = {
    "structural": Removal(structural, smaller=True),
    "zero_weights": Removal(zero_weights, smaller=False),
    "mean_replacement": Removal(mean_replacement, smaller=True),
}
