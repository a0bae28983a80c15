"""What a network computes from filters of zeros, the removal of the reference experiment (`zero_weights`)."""

import copy

import numpy as np
import torch
from torch import Tensor

from prunecurve.graph.downstream import Reading
from prunecurve.graph.layers import PrunableLayer
from prunecurve.graph.nodes import part_before, random_inputs


@torch.no_grad()
def zero_filter(layer: PrunableLayer) -> Tensor:
    """Return what all readings read, (E,), if the weights of all filters of the channels are zero.

    It is the same for any input, for the entries that belong to the channels, unless `zero_filter_varies`.
    """
    return _read_without_filters(layer, layer.example(), np.arange(layer.channels))[0]


@torch.no_grad()
def zero_filter_varies(layer: PrunableLayer) -> bool:
    """Return whether what a zero filter leaves depends on the input: a mask for all channels scales it, too."""
    images, expected = random_inputs(layer.traced, layer.input_shape, 2), zero_filter(layer)
    # A mask can also be computed from the channels that are left.
    for channels in (np.arange(layer.channels), np.arange(0, layer.channels, 2)):
        own = np.concatenate([_entries_of(reading, channels) for reading in layer.downstream.readings])
        for read in _read_without_filters(layer, images, channels):
            if not torch.allclose(read[own], expected[own], rtol=1e-3, atol=1e-5):
                return True
    return False


def _read_without_filters(layer: PrunableLayer, inputs: Tensor, channels: np.ndarray) -> Tensor:
    """Return what all readings read, (n, E), if the weights of the filters of these channels are zero."""
    values = {str(place): reading.value for place, reading in enumerate(layer.downstream.readings)}
    zeroed = copy.deepcopy(part_before(layer.traced, values))
    for path, numbers in layer.group.makers.items():
        zeroed.get_submodule(path).weight[torch.from_numpy(np.isin(numbers, channels))] = 0
    return torch.cat([value.flatten(1) for value in zeroed(inputs).values()], 1)


def _entries_of(reading: Reading, channels: np.ndarray) -> np.ndarray:
    """Return the places of all entries of these channels in what a reading reads, among all readings."""
    places = np.arange(reading.place.start, reading.place.stop).reshape(reading.shape)
    return np.take(places, reading.axis.entries(channels), reading.axis.dim - 1).flatten()
