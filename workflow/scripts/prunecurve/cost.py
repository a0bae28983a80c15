"""The size of a network from the shapes of its weights: parameters and multiply-accumulates (MACs)."""

from collections.abc import Mapping

import numpy as np


def layer_names(weights: Mapping[str, np.ndarray], kind: str) -> list[str]:
    """The names of all layers of a kind (`conv`, `linear`), in order."""
    count = sum(name.startswith(kind) and name.endswith(".weight") for name in weights)
    return [f"{kind}{i}" for i in range(1, count + 1)]


def cost(weights: Mapping[str, np.ndarray], channels: int) -> dict[str, int]:
    """Parameters, and MACs for one pair, of the network whose last convolution keeps `channels` channels.

    Counted are all trainable parameters (batch normalisation's scale and shift too), and the MACs of
    convolutions and linear layers; batch normalisation, which folds into the convolution, and biases
    count none, as is usual.
    """
    convs, linears = layer_names(weights, "conv"), layer_names(weights, "linear")
    size, params, macs = int(weights["image_size"]), 0, 0
    for conv in convs:
        outputs, inputs, height, width = weights[f"{conv}.weight"].shape
        outputs = channels if conv == convs[-1] else outputs
        filters = outputs * inputs * height * width
        # Each filter has a bias, a scale and a shift.
        params += filters + 3 * outputs
        macs += filters * size * size
        size //= 2
    for linear in linears:
        outputs, inputs = weights[f"{linear}.weight"].shape
        inputs = channels * size * size if linear == linears[0] else inputs
        params += outputs * inputs + outputs
        macs += outputs * inputs
    return {"params": params, "macs": macs}
