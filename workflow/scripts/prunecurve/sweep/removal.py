"""Kinds of removal. Each one is defined by the replacement map that the next layer gets for a removed channel.

In eval mode, batch normalisation acts on each channel separately, so removing channels of a
convolution does not change the maps of its other channels. A removal is therefore fully defined by
the pooled map (h, w) that replaces each removed channel.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from prunecurve.sweep.cost import block_of


class Removal(NamedTuple):
    """A kind of removal.

    replacement: a function (weights, layer, mean_features) → replacement maps (P, h, w). smaller: whether the removal
    makes the network smaller.
    """

    replacement: Callable[[Mapping[str, np.ndarray], str, np.ndarray], np.ndarray]
    smaller: bool


def structural(weights: Mapping[str, np.ndarray], layer: str, mean_features: np.ndarray) -> np.ndarray:
    """Remove the channel from the convolution, the batch normalisation and the next layer: the replacement is zero."""
    return np.zeros(mean_features.shape, np.float32)


def zero_weights(weights: Mapping[str, np.ndarray], layer: str, mean_features: np.ndarray) -> np.ndarray:
    """Set `conv.weight[c] = 0` and keep bias b and batch normalisation, as in the reference experiment.

    The channel becomes the constant max(0, β − γ·(μ − b)/√(σ² + ε)), which pooling does not change.
    """
    i = block_of(layer)
    bias, mean = weights[f"conv{i}.bias"].astype(np.float64), weights[f"bn{i}.running_mean"]
    scale = weights[f"bn{i}.weight"] / np.sqrt(weights[f"bn{i}.running_var"].astype(np.float64) + weights["bn_eps"])
    constant = np.maximum(0.0, weights[f"bn{i}.bias"] - scale * (mean - bias))
    return np.broadcast_to(constant[:, None, None], mean_features.shape)


def mean_replacement(weights: Mapping[str, np.ndarray], layer: str, mean_features: np.ndarray) -> np.ndarray:
    """Replace the channel by its mean pooled map over the ranking split, the same for every pair."""
    return mean_features


REMOVALS = {
    "structural": Removal(structural, smaller=True),
    "zero_weights": Removal(zero_weights, smaller=False),
    "mean_replacement": Removal(mean_replacement, smaller=True),
}
