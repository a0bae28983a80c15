"""The file `layer.npy`: what the jobs without torch need to know of a network and of the layer that is pruned.

describe_layer writes it (description.py). Evaluation jobs read it, so this module imports only numpy.
"""

import os
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from prunecurve.arrays import load_arrays, save_arrays
from prunecurve.errors import StudyError, remedy


class Linear(NamedTuple):
    """A linear layer after the pruned one, with the activation that follows it.

    weight: (outputs, inputs). bias: (outputs,). activation: a key of activation_functions.ACTIVATIONS, with its slope.
    """

    weight: np.ndarray
    bias: np.ndarray
    activation: str
    slope: float


class LayerFile(NamedTuple):
    """The content of `layer.npy`.

    name: the module path of the layer, such as conv3. backend: numpy if only flatten, linear layers, activations and
    dropout follow the layer, else torch. classes: C, the number of logits. weight: float32 (P, D, k, k) of a
    convolution or (P, D) of a linear layer. group_weights: float32 (P, ·), the weights of all layers that compute the
    channels, one row per channel; (P, 0) if the layer alone computes them. scale: (P,), batch normalisation's γ (the
    sum of |γ| of several), or None. features: the shape of one input in features.npy: (P, h, w), the maps that the
    linear layer reads, for numpy; (D,), what crosses into the rest of the network, for torch; (0,) if that cannot be
    stored. zero_filter: float32, what the layers that read the channels get if all filters are zero, (P, h, w) or, for
    torch, all of it in one row (E,). map_size: M × N of the map after the activation. params, macs: (P,), the size of
    the network without K channels, for K = 0 … P−1. signed: why nothing can be measured behind an activation; empty if
    it can. linears: the linear layers after the pruned one; empty for torch.
    """

    name: str
    backend: str
    classes: int
    weight: np.ndarray
    group_weights: np.ndarray
    scale: np.ndarray | None
    features: tuple[int, ...]
    zero_filter: np.ndarray
    map_size: tuple[int, int]
    params: np.ndarray
    macs: np.ndarray
    linears: tuple[Linear, ...]
    signed: str = ""

    @property
    def channels(self) -> int:
        """P, the number of output channels (of a linear layer: outputs)."""
        return len(self.weight)

    @property
    def filters(self) -> np.ndarray:
        """The weights of a convolution (P, D, k, k); those of a linear layer, or of several layers, as (P, ·, 1, 1)."""
        if self.group_weights.shape[1]:
            return self.group_weights[:, :, None, None]
        return self.weight if self.weight.ndim == 4 else self.weight[:, :, None, None]

    @property
    def positions(self) -> int:
        """The number of positions, M · N, of a channel's map after the activation."""
        return self.map_size[0] * self.map_size[1]


# How fields that are not arrays are read.
READ: dict[str, Callable] = {"name": str, "backend": str, "signed": str, "classes": int}
READ |= dict.fromkeys(("features", "map_size"), lambda array: tuple(array.tolist()))
READ["scale"] = lambda array: array if len(array) else None


def save_layer(path: str | os.PathLike[str], layer: LayerFile) -> None:
    """Write a layer as one record of arrays."""
    arrays = {name: np.asarray(value) for name, value in layer._asdict().items() if name not in ("scale", "linears")}
    arrays["scale"] = np.zeros(0, np.float32) if layer.scale is None else layer.scale
    arrays["activations"] = np.array([linear.activation for linear in layer.linears], "U16")
    arrays["slopes"] = np.array([linear.slope for linear in layer.linears])
    for i, linear in enumerate(layer.linears):
        arrays[f"weight{i}"], arrays[f"bias{i}"] = linear.weight, linear.bias
    save_arrays(path, arrays)


def load_layer(path: str | os.PathLike[str]) -> LayerFile:
    """Read the file of `save_layer`. Raises StudyError, naming the file, if it is damaged or has different content."""
    arrays = load_arrays(path)
    try:
        linears = tuple(
            Linear(arrays[f"weight{i}"], arrays[f"bias{i}"], str(activation), float(slope))
            for i, (activation, slope) in enumerate(zip(arrays["activations"], arrays["slopes"]))
        )
        fields = {name: READ.get(name, np.asarray)(arrays[name]) for name in LayerFile._fields if name != "linears"}
        return LayerFile(**fields, linears=linears)
    except KeyError as error:
        raise StudyError(f"{path} does not describe a layer (it has no {error}); {remedy(path)}") from error
