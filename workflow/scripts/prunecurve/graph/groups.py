"""Groups of channels that can only be removed together: which entries of which modules belong to each channel."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class Group(NamedTuple):
    """The channels of a layer, and the entries of all modules that can only be removed with them.

    Each dictionary has an int64 array per module, by module path and in the order of the network: for each entry the
    number of the layer's channel that it belongs to, −1 for none. makers: the output channels of each Conv2d and Linear
    that computes the channels, the layer included. followers: the channels of each module with parameters per channel
    (batch normalisation, depthwise convolution). readers: the inputs of each Conv2d and Linear that reads the channels:
    input channels of a convolution, input features of a linear layer. parameters: by their paths, parameters and
    buffers with entries per channel that no module of torch reads, such as a scale; the arrays have their shapes.
    """

    channels: int
    makers: Mapping[str, np.ndarray]
    followers: Mapping[str, np.ndarray]
    readers: Mapping[str, np.ndarray]
    parameters: Mapping[str, np.ndarray]

    def modules(self) -> list[str]:
        """Return the paths of all modules that have entries of the channels."""
        return list({name: None for part in (self.makers, self.followers, self.readers) for name in part})


class ChannelAxis(NamedTuple):
    """The dimension of a value along which the channels of a group lie; the first dimension is that of the inputs.

    numbers: int64, for each index along this dimension the number of the channel, −1 for none.
    """

    dim: int
    numbers: np.ndarray

    def in_order(self, channels: int) -> bool:
        """Return whether the channels lie one after the other, each with the same number of entries, and no others."""
        return np.array_equal(self.numbers, np.arange(channels).repeat(len(self.numbers) // channels))

    def entries(self, chosen: np.ndarray) -> np.ndarray:
        """Return the indices that belong to the chosen channels."""
        return np.flatnonzero(np.isin(self.numbers, chosen))

    def without(self, removed: np.ndarray) -> np.ndarray:
        """Return the indices that do not belong to the removed channels."""
        return np.flatnonzero(~np.isin(self.numbers, removed))
