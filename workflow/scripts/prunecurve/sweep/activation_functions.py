"""Activation functions of the linear layers in numpy, with their derivatives. Evaluation jobs import this module."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Activation(NamedTuple):
    """An activation function.

    function: (x, out, slope) → y; may write y to `out`, which may be x. derivative: (y, slope) → dy/dx, computed from
    the function's value. slope: the slope below zero, which leaky_relu alone uses.
    """

    function: Callable[[np.ndarray, np.ndarray, float], np.ndarray]
    derivative: Callable[[np.ndarray, float], np.ndarray]


@functools.lru_cache(maxsize=16)
def _zeros(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    zeros = np.zeros(shape, dtype)
    zeros.flags.writeable = False
    return zeros


def _relu(x: np.ndarray, out: np.ndarray, slope: float) -> np.ndarray:
    # The maximum with an array takes half the time of the maximum with a number. The arrays are blocks of few shapes.
    return np.maximum(x, _zeros(x.shape, x.dtype), out=out)


def _sigmoid(x: np.ndarray, out: np.ndarray, slope: float) -> np.ndarray:
    # By tanh, which does not overflow.
    np.multiply(x, 0.5, out=out)
    np.tanh(out, out=out)
    out *= 0.5
    out += 0.5
    return out


# The names are those of torch's functions (graph/description.py).
ACTIVATIONS = {
    "identity": Activation(lambda x, out, slope: x, lambda y, slope: np.ones_like(y)),
    "relu": Activation(_relu, lambda y, slope: y > 0),
    "leaky_relu": Activation(
        lambda x, out, slope: np.where(x > 0, x, x * x.dtype.type(slope)),
        lambda y, slope: np.where(y > 0, y.dtype.type(1), y.dtype.type(slope)),
    ),
    "tanh": Activation(lambda x, out, slope: np.tanh(x, out=out), lambda y, slope: 1 - y * y),
    "sigmoid": Activation(_sigmoid, lambda y, slope: y * (1 - y)),
}
