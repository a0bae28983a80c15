"""The rest of the network after a convolution that is not the last, in torch, from that layer's pooled maps.

The layers up to the pooled maps run once per network, and their result is stored. As in `removal.py`, a removal is
defined by replacement maps. But the next layer is a convolution, so the rest of the network runs for each set of
removed channels.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from prunecurve.network.pair_network import Architecture, PairNet, prepare_torch
from prunecurve.sweep.cost import block_of, layer_names

# Pairs per forward pass. Fixed, because torch may sum in a different order for another number.
BATCH = 250


def model_of(weights: dict[str, np.ndarray]) -> PairNet:
    """Rebuild the network, in eval mode, from the arrays that `network.save_weights` wrote."""
    filters = [weights[f"{name}.weight"] for name in layer_names(weights, "conv")]
    linear = [weights[f"{name}.weight"] for name in layer_names(weights, "linear")]
    model = PairNet(
        Architecture(
            in_channels=filters[0].shape[1],
            image_size=int(weights["image_size"]),
            channels=[len(f) for f in filters],
            kernel_size=filters[0].shape[2],
            hidden=[len(w) for w in linear[:-1]],
            dropout=0.0,
            classes=len(linear[-1]),
        )
    )
    # num_batches_tracked is not stored, because eval mode does not use it.
    unused = {name for name in model.state_dict() if name.endswith("num_batches_tracked")}
    state = {name: torch.from_numpy(np.array(weights[name])) for name in model.state_dict() if name not in unused}
    model.load_state_dict(state | {name: model.state_dict()[name] for name in unused})
    for i in range(1, len(filters) + 1):
        model.bn(i).eps = float(weights["bn_eps"])
    return model.to(memory_format=torch.channels_last).eval()


class RestOfNetwork:
    """The rest of a network: everything after the pooled maps of its convolution `layer`."""

    def __init__(self, weights: dict[str, np.ndarray], layer: str, threads: int) -> None:
        prepare_torch("cpu", threads)
        self.model, self.i = model_of(weights), block_of(layer)

    def logits(self, maps: Tensor, removed: np.ndarray, replacement: np.ndarray | None = None) -> Tensor:
        """Return the logits (n, 2), given pooled maps (n, P, h, w), with some channels removed.

        removed: channel numbers. replacement: the replacement maps (P, h, w); None means zero.
        """
        conv = self.model.conv(self.i + 1)
        kept = np.setdiff1d(np.arange(maps.shape[1]), removed)
        # conv2d does not accept an input without channels.
        inputs = (maps[:, kept], conv.weight[:, kept]) if len(kept) else (torch.zeros_like(maps), conv.weight)
        output = conv2d(*inputs, conv.bias, padding=conv.padding)
        if replacement is not None and replacement[removed].any():
            # The same term for every pair. Because of the zero padding it is a map and not one constant per channel.
            constant = torch.from_numpy(np.ascontiguousarray(replacement[removed], np.float32))[None]
            output = output + conv2d(constant, conv.weight[:, removed], padding=conv.padding)
        return self.model.after(self.i + 1, self.model.pooled(self.i + 1, output))


def batch_of(features: np.ndarray, start: int) -> Tensor:
    """Read the maps of BATCH pairs, from pair `start` on, into a tensor in channels-last layout (fastest on CPUs)."""
    return torch.from_numpy(np.array(features[start : start + BATCH])).to(memory_format=torch.channels_last)
