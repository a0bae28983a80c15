"""The linear layers on stored features, for any subset of channels. Numpy alone: no torch in an evaluation."""

from collections.abc import Mapping

import numpy as np

from prunecurve.cost import layer_names


def first_linear(
    weights: Mapping[str, np.ndarray], kept: np.ndarray, stand_in: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The first linear layer of the network with only the `kept` channels (sorted channel numbers).

    stand_in: (P, h, w), the map in the place of each removed channel. Returns the weight
    (outputs, kept · h · w), its column blocks sliced, and the bias with the stand-ins folded in.
    """
    weight, bias = weights["linear1.weight"], weights["linear1.bias"]
    channels = len(stand_in)
    constant = stand_in.reshape(channels, -1).astype(np.float64)
    constant[kept] = 0
    folded = weight.astype(np.float64) @ constant.ravel()
    blocks = weight.reshape(len(weight), channels, -1)
    return np.take(blocks, kept, axis=1).reshape(len(weight), -1), (bias + folded).astype(np.float32)


def logits(
    features: np.ndarray, weights: Mapping[str, np.ndarray], kept: np.ndarray, stand_in: np.ndarray
) -> np.ndarray:
    """Logits (N, 2), float32, of the head on the kept channels of features (N, P, h, w)."""
    weight, bias = first_linear(weights, kept, stand_in)
    # `take` copies whole maps into one block; indexing would leave them in another order, to be copied again.
    x = np.take(features, kept, axis=1).reshape(len(features), -1) @ weight.T + bias
    for name in layer_names(weights, "linear")[1:]:
        x = np.maximum(x, 0) @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
    return x
