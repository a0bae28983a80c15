"""Whether a network without some channels of a layer computes what the removals of the study are defined to compute."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, fx

from prunecurve.graph.layers import NotPrunable, PrunableLayer
from prunecurve.graph.nodes import part_before, random_inputs, values_of
from prunecurve.graph.pruning import PrunedInterpreter, copied, replace, run_pruned
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
    for kind in together.keys() - (set() if layer.downstream.storable() else {"crossing"}):
        if not all(map(_has_entry_per_input, together[kind], alone[kind])):
            raise NotPrunable(layer.path, "a value that its channels pass through does not have one entry per input")


def _has_entry_per_input(together: Tensor, alone: Tensor) -> bool:
    """Return whether a value for three inputs has an entry for each, and the first is that for this input alone."""
    if len(together) != 3 or len(alone) != 1:
        return False
    # Networks can amplify rounding.
    allowed = 0.1 * (together[1] - together[0]).abs().max() + 1e-3 * together.abs().max()
    return bool((together[0] - alone[0]).abs().max() <= allowed)


# ---- filters of zeros, the removal of the reference experiment (`zero_weights`)


def zero_filter(layer: PrunableLayer) -> Tensor:
    """Return what all readings read, (E,), if the weights of all filters of the channels are zero.

    It is the same for any input, for the entries that belong to the channels, unless `zero_filter_varies`.
    """
    return _read_without_filters(layer, layer.example(), np.arange(layer.channels))[0]


def zero_filter_varies(layer: PrunableLayer) -> bool:
    """Return whether what a zero filter leaves depends on the input: a mask for all channels scales it, too."""
    images, expected = random_inputs(layer.traced, layer.input_shape, 2), zero_filter(layer)
    numbers = np.concatenate([reading.numbers() for reading in layer.downstream.readings])
    # A mask can also be computed from the channels that are left.
    for channels in (np.arange(layer.channels), np.arange(0, layer.channels, 2)):
        own = np.isin(numbers, channels)
        for read in _read_without_filters(layer, images, channels):
            if not torch.allclose(read[own], expected[own], rtol=1e-3, atol=1e-5):
                return True
    return False


@torch.no_grad()
def _read_without_filters(layer: PrunableLayer, inputs: Tensor, channels: np.ndarray) -> Tensor:
    """Return what all readings read, (n, E), if the weights of the filters of these channels are zero."""
    before = PrunedInterpreter(part_before(layer.traced, [r.value for r in layer.downstream.readings]), layer.group)
    for path, numbers in layer.group.makers.items():
        zeroed = copied(layer.traced.get_submodule(path))
        weight = zeroed.weight.clone()
        weight[torch.from_numpy(np.isin(numbers, channels))] = 0
        replace(zeroed, "weight", weight)
        before.parts[path] = zeroed
    return torch.cat([value.flatten(1) for value in before.run(inputs)], 1)
