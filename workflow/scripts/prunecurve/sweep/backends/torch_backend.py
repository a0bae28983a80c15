"""The backend for any network: the rest of the network in torch, from the stored input of the layers behind a layer.

The part before runs once per network, and its result is stored. As in `removal.py`, a removal is defined by replacement
maps. The layers that read the channels and the rest of the network run for each set of removed channels.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from prunecurve.errors import StudyError
from prunecurve.network.layer_file import LayerFile
from prunecurve.network.layers import PrunableLayer
from prunecurve.network.model_file import ModelFile
from prunecurve.network.network_file import load_network, prepare_torch

# Inputs per forward pass. Fixed, because torch may sum in a different order for another number.
BATCH = 250


class Backend:
    """The layers that read a layer, and the rest of the network after them."""

    def __init__(self, layer: LayerFile, model: ModelFile | None, threads: int) -> None:
        """Read the network. Raises StudyError if its path is missing."""
        if model is None:
            raise StudyError(f"layer: more than linear layers follow {layer.name}; give the network with --model")
        prepare_torch("cpu", threads)
        network, shape, leaf_modules = load_network(model)
        self.network = PrunableLayer(network, layer.name, shape, leaf_modules=leaf_modules)

    @torch.inference_mode()
    def logits(
        self,
        features: np.ndarray,
        order: np.ndarray,
        ks: Sequence[int],
        replacement: np.ndarray,
        stored: np.ndarray | None = None,
        threads: int = 1,
    ) -> np.ndarray:
        """Return the logits (len(ks), N, C), float32; arguments as for `head.logits`.

        `stored` and `threads` are not used: there are no stored sums, and __init__ sets the number of threads.
        """
        result = np.empty((len(ks), len(features), self.network.classes), np.float32)
        for start in range(0, len(features), BATCH):
            maps = batch_of(features, start)
            for place, k in enumerate(ks):
                result[place, start : start + BATCH] = self.without(maps, order[:k], replacement).numpy()
        return result

    def without(self, maps: Tensor, removed: np.ndarray, replacement: np.ndarray | None = None) -> Tensor:
        """Return the logits (n, C), given the maps (n, P, h, w) of all channels, without some channels.

        removed: channel numbers. replacement: the replacement maps (P, h, w); None means zero.
        """
        readers = self.network.readers.values()
        return self.network.rest(*(_read(reader, maps, removed, replacement) for reader in readers))


def _read(reader: nn.Module, maps: Tensor, removed: np.ndarray, replacement: np.ndarray | None) -> Tensor:
    """Return the output of a layer that gets replacement maps in place of the removed channels.

    The layer is linear in its input: it computes the remaining channels, and adds its response to the replacement maps,
    which is the same for all inputs. (At the border of a padded convolution it is another one than inside.)
    """
    every = np.arange(maps.shape[1])
    kept = np.setdiff1d(every, removed)
    # A convolution does not accept an input without channels.
    given = (maps, kept) if len(kept) else (torch.zeros_like(maps), every)
    output = _part(reader, *given, reader.bias)
    if replacement is not None and replacement[removed].any():
        constant = torch.from_numpy(np.array(replacement[None], np.float32))
        output = output + _part(reader, constant, removed, None)
    return output


def _part(reader: nn.Module, maps: Tensor, channels: np.ndarray, bias: Tensor | None) -> Tensor:
    """Return what these channels of the maps (n, P, h, w) contribute to a layer's output, plus the bias."""
    some = maps[:, channels]
    if isinstance(reader, nn.Conv2d):
        # The method that the module itself calls: padding, stride and dilation are those of the module.
        return reader._conv_forward(some, reader.weight[:, channels], bias)
    columns = reader.weight.reshape(len(reader.weight), maps.shape[1], -1)[:, channels]
    return linear(some.flatten(1), columns.flatten(1), bias)


def batch_of(features: np.ndarray, start: int) -> Tensor:
    """Read the maps of BATCH inputs, from input `start` on, into a tensor in channels-last layout (fastest on CPUs)."""
    return torch.from_numpy(np.array(features[start : start + BATCH])).to(memory_format=torch.channels_last)
