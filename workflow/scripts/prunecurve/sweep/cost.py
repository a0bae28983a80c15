"""The size of a network, computed from the shapes of its weights: parameters and multiply-accumulates (MACs)."""

from collections.abc import Mapping

import numpy as np


def layer_names(weights: Mapping[str, np.ndarray], kind: str) -> list[str]:
    """Return the names of all layers of a kind (`conv` or `linear`), in order."""
    count = sum(name.startswith(kind) and name.endswith(".weight") for name in weights)
    return [f"{kind}{i}" for i in range(1, count + 1)]


def block_of(layer: str) -> int:
    """Return the number (from 1) of the block that contains a convolution: 2 for `conv2`."""
    return int(layer.removeprefix("conv"))


def cost(weights: Mapping[str, np.ndarray], layer: str, channels: int) -> dict[str, int]:
    """Count the parameters, and the MACs for one pair, of the network if `layer` keeps `channels` channels.

    The parameters are all trainable ones, including the scale and shift of batch normalisation. The MACs
    are those of convolutions and linear layers. As usual, biases and batch normalisation count no MACs
    (batch normalisation can be merged into the convolution).
    """
    size, params, macs = int(weights["image_size"]), 0, 0
    left = weights["conv1.weight"].shape[1]
    for conv in layer_names(weights, "conv"):
        outputs, _, height, width = weights[f"{conv}.weight"].shape
        outputs = channels if conv == layer else outputs
        filters = outputs * left * height * width
        # Each filter has a bias, a scale and a shift.
        params += filters + 3 * outputs
        macs += filters * size * size
        size, left = size // 2, outputs
    left *= size * size
    for linear in layer_names(weights, "linear"):
        outputs = len(weights[f"{linear}.weight"])
        params += outputs * left + outputs
        macs += outputs * left
        left = outputs
    return {"params": params, "macs": macs}
