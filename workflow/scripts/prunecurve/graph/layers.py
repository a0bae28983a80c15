"""A layer of any network, by its module path: its channels, where they are measured, and what depends on them."""

import difflib
import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, fx, nn

from prunecurve.data.batches import Values, fitting
from prunecurve.errors import StudyError
from prunecurve.graph.channels import NOT_RUN, Channels
from prunecurve.graph.downstream import Downstream
from prunecurve.graph.nodes import example_of, layer_nodes, part_before
from prunecurve.graph.points import Points
from prunecurve.graph.pruning import ChannelAxis, pruned
from prunecurve.graph.tracing import CLASSES


class NotPrunable(StudyError):
    """Why the channels of a layer cannot be removed one by one."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"layer: {path} cannot be pruned: {reason}")
        self.reason = reason


class PrunableLayer:
    """A Conv2d or Linear of a network in evaluation mode, whose channels can be removed one by one.

    path: its module path. module: the layer. channels: P. group: the entries of all modules that belong to its
    channels. points: where its maps are measured. downstream: what runs again when channels are removed. traced: the
    network's graph. classes: the number of logits.
    """

    def __init__(
        self,
        model: nn.Module,
        path: str,
        input_shape: Sequence[int],
        analysis: Channels | None = None,
        leaf_modules: Sequence[str] = (),
    ) -> None:
        """Find the layer `path` in a network that reads inputs of this shape (C, S, S).

        path: a module path such as `conv2` or `layer1.0.conv2`; `last` means the last Conv2d. analysis: that of the
        network, if there is one already. leaf_modules: see `traced_network`. Raises StudyError if there is no such
        layer or if it cannot be pruned; the message names the operation that prevents it.
        """
        self.input_shape = tuple(input_shape)
        labels = analysis or Channels(model, input_shape, leaf_modules)
        self.traced, self.classes = labels.module, labels.classes
        node = _node_of(self.traced, path, labels)
        self.path, self.module = node.target, self.traced.get_submodule(node.target)
        self.channels = len(self.module.weight)
        if reason := labels.refusal(self.path):
            raise NotPrunable(self.path, reason)
        self.group = labels.group(self.path)

        # The axis in a value is needed again for each batch of inputs.
        @functools.cache
        def axis_in(value: fx.Node) -> ChannelAxis | None:
            return labels.axis_in(self.path, value)

        try:
            self.downstream = Downstream(self.traced, self.group, axis_in, self.input_shape)
        except ValueError as error:
            raise NotPrunable(self.path, str(error)) from error
        self.points = Points(self.traced, node, self.group, axis_in)

    def maps(self, inputs: Tensor) -> dict[str, Tensor]:
        """Return the maps (n, P, M, N) at each of POINTS for inputs (n, C, S, S).

        Behind several branches, n is the number of inputs times that of branches.
        """
        return self.points.maps(self.all_before(inputs))

    def crossing(self, inputs: Tensor) -> list[Tensor]:
        """Return the crossing values of the network downstream for inputs (n, C, S, S)."""
        return self.all_before(inputs)["crossing"]

    @functools.cached_property
    def all_before(self) -> fx.GraphModule:
        """The part of the network that computes all values that are stored or measured: a list by kind."""
        read = [reading.value for reading in self.downstream.readings]
        return part_before(self.traced, self.points.nodes | {"crossing": self.downstream.crossing, "read": read})

    def measure(self, inputs: Tensor) -> tuple[dict[str, Tensor], list[Tensor], Tensor]:
        """Return the results of `maps` and `crossing`, and what all readings read, (n, E), for inputs (n, C, S, S)."""
        values = self.all_before(inputs)
        read = torch.cat([value.flatten(1) for value in values["read"]], 1)
        return self.points.maps(values), values["crossing"], read

    def example(self) -> Tensor:
        """Return one input (1, C, S, S) of zeros."""
        return example_of(self.traced, self.input_shape)

    def pruned(self, kept: Sequence[int] | np.ndarray) -> fx.GraphModule:
        """Return a copy of the network that has only these channels of the layer (sorted numbers)."""
        return pruned(self.traced, self.group, np.asarray(kept, np.int64))


def _node_of(traced: fx.GraphModule, path: str, labels: Channels) -> fx.Node:
    """Return the first call of a layer. Raises StudyError if it is not in the network, or not run as a layer."""
    nodes = layer_nodes(traced)
    layers = list(nodes)
    if path == "last":
        convolutions = [name for name in layers if isinstance(traced.get_submodule(name), nn.Conv2d)]
        if not convolutions:
            raise StudyError(f"layer: last, but the network has no Conv2d; its layers: {', '.join(layers)}")
        return nodes[convolutions[-1]]
    if path in nodes:
        return nodes[path]
    if own := traced.meta[CLASSES].get(path):
        if issubclass(own, nn.Conv2d | nn.Linear):
            raise NotPrunable(path, labels.refusal(path) or NOT_RUN)
        raise StudyError(
            f"layer: {path} is a {own.__name__}, not a Conv2d or Linear; allowed: last, {', '.join(layers)}"
        )
    near = difflib.get_close_matches(path, layers, n=3) or layers
    raise StudyError(f"layer: {path} is not in the network; nearest: {', '.join(near)}")


# ---- how many inputs run at once, so that they fit in memory


@torch.inference_mode()
def batch_of(layer: PrunableLayer, most: int) -> int:
    """Return the inputs per forward pass for a layer: `most`, or fewer if their values would need too much memory.

    The number is the same for all jobs of the layer, so that maps that are computed again have the same bytes.
    """
    few = layer.example().repeat(2, 1, 1, 1)
    with Values() as values:
        maps, crossing, read = layer.measure(few)
        layer.downstream.logits(crossing, np.zeros(0, np.int64))
    kept = sum({value.data_ptr(): value.nbytes for value in maps.values()}.values())
    # What is stored and what is read are copies of maps, and the values before the copy are still there.
    needed = kept + 2 * sum(value.nbytes for value in crossing) + 2 * read.nbytes + 2 * values.largest
    return fitting(most, needed / len(few))


def batch_with_gradients(downstream: Downstream, crossing: list[torch.Tensor], count: int, most: int) -> int:
    """Return the inputs per pass through the network downstream of a layer, if its values are kept for gradients.

    crossing: the crossing values of `count` inputs. most: see `batch_of`.
    """
    with torch.no_grad(), Values() as values:
        downstream.logits(crossing, np.zeros(0, np.int64))
    return fitting(most, 2 * values.total / count)
