"""Whether a traced network computes what the network computes, and each input alone."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, fx, nn

from prunecurve.errors import StudyError
from prunecurve.graph.nodes import random_inputs
from prunecurve.model.messages import one_line


@torch.no_grad()
def require_same_results(model: nn.Module, traced: fx.GraphModule, input_shape: Sequence[int]) -> None:
    """Raise StudyError if the graph, or the network for a single input, gives different results."""
    images = random_inputs(model, input_shape, 2)
    by_network, by_graph = (each(images.clone()).double() for each in (model, traced))
    size = float(by_network.abs().max())
    try:
        together, alone = _precisely(model, images), _precisely(model, images[:1])
    # The network's code can raise anything.
    except Exception as error:
        raise StudyError(
            f"network: it cannot read a single input ({one_line(error)}); the number of inputs must not be fixed, "
            "as in x.view(64, -1)"
        ) from error
    if not torch.allclose(together[:1], alone, rtol=1e-3, atol=1e-4 * size, equal_nan=True):
        raise StudyError(
            "network: in evaluation mode an input alone gives different logits than together with others, as with "
            "batch normalisation without running statistics"
        )
    if not torch.allclose(by_network, by_graph, rtol=1e-4, atol=1e-5 * size, equal_nan=True):
        raise StudyError(
            "network: its traced graph gives different results; torch.fx does not follow operations in "
            "place (`x += y`) if the value is also used under another name or shape, so write x = x + y"
        )


def _precisely(model: nn.Module, images: Tensor) -> Tensor:
    """Return the logits in float64, in which the order of sums does not matter; in float32 if the network needs it."""
    try:
        return copy.deepcopy(model).double()(images.double())
    # The network's code can raise anything.
    except Exception:
        return model(images.clone()).double()
