"""Whether a network without some channels of a layer computes what zeros give where the channels are read."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, fx

from prunecurve.graph.layers import NotPrunable, PrunableLayer
from prunecurve.graph.nodes import random_inputs, values_of
from prunecurve.graph.pruning import run_pruned
from prunecurve.model.messages import one_line


@torch.no_grad()
def require_exact_pruning(layer: PrunableLayer, values: Mapping[fx.Node, object] | None = None) -> None:
    """Raise NotPrunable unless the pruned network gives the logits of zeros where the channels are read.

    It would not if the network computes with the number of channels: `x / x.size(1)`. To check this once per layer
    is enough: describe_layer does, and all evaluations need its file.

    values: the result of `values_of`, which is the same for all layers of a network.
    """
    _require_inputs_first(layer)
    values = values or values_of(layer.traced, layer.input_shape)
    crossing = [values[node] for node in layer.downstream.crossing]
    for kept in (range(0, layer.channels, 2), [layer.channels - 1]):
        expected = layer.downstream.masked(crossing, np.setdiff1d(np.arange(layer.channels), kept))
        try:
            logits = run_pruned(layer.traced, layer.group, np.asarray(kept), values)
        # The network's code can raise anything.
        except Exception as error:
            cause = one_line(error.__cause__ or error)
            raise NotPrunable(layer.path, f"without some of its channels the network fails ({cause})") from error
        if not torch.allclose(logits, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()), equal_nan=True):
            raise NotPrunable(
                layer.path, "the network computes with the number of channels, so fewer give different results"
            )


def _require_inputs_first(layer: PrunableLayer) -> None:
    """Raise NotPrunable if a value that is stored or measured does not have one entry per input."""
    images = random_inputs(layer.traced, layer.input_shape, 3)
    together, alone = layer.all_before(images), layer.all_before(images[:1])
    for name, value in together.items():
        stored = not name.startswith("crossing") or layer.downstream.storable()
        if stored and not _has_entry_per_input(value, alone[name]):
            raise NotPrunable(layer.path, "a value that its channels pass through does not have one entry per input")


def _has_entry_per_input(together: Tensor, alone: Tensor) -> bool:
    """Return whether a value for three inputs has an entry for each, and the first is that for this input alone."""
    if len(together) != 3 or len(alone) != 1:
        return False
    # Networks can amplify rounding.
    allowed = 0.1 * (together[1] - together[0]).abs().max() + 1e-3 * together.abs().max()
    return bool((together[0] - alone[0]).abs().max() <= allowed)
