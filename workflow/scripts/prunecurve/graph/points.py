"""The points where the maps of a layer's channels are measured."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, fx

from prunecurve.errors import required
from prunecurve.graph.nodes import is_tensor, shape_of
from prunecurve.graph.operations import ACTIVATION_MODULES, ACTIVATIONS, NORMS, UNCHANGED, UNCHANGED_MODULES, calls
from prunecurve.graph.pruning import ChannelAxis, Group

# The points in the order of the data flow: the layer's output, after batch normalisation, after the activation, and
# what the layers that read the channels read. Where the channels branch before an activation, the last two are after
# the first activation of each branch.
POINTS = ("conv", "bn", "relu", "pool")


class Points:
    """The values in which the channels of a layer are measured.

    chain: the operations that the channels pass one after the other, from the layer on, until they branch or are read.
    map_shape: (h, w) of a channel's map at the end of the chain; (1, 1) behind a linear layer. nodes: the values at
    each of POINTS; if the network has no such operation, it is the value before it. signed: why nothing can be measured
    behind an activation, empty if it can.
    """

    def __init__(
        self, traced: fx.GraphModule, node: fx.Node, group: Group, axis_in: Callable[[fx.Node], ChannelAxis | None]
    ) -> None:
        """Find the points behind the first call of a layer. axis_in: where its channels lie in a value of the graph."""
        self._traced, self._group, self._axis_in = traced, group, axis_in
        self.chain = self._chain_from(node)
        end = self._last_map()
        activations, self.signed = self._first_activations()
        norm = next((each for each in self.chain[1:] if calls(traced, each, NORMS)), node)
        relu = activations or [norm]
        branched = activations and activations[0] not in self.chain
        self.nodes = {"conv": [node], "bn": [norm], "relu": relu, "pool": relu if branched else [end]}
        self.map_shape = self._shape_of_maps(end)

    def maps(self, values: Mapping[str, Sequence[Tensor]]) -> dict[str, Tensor]:
        """Return the maps (n, P, M, N) at each of POINTS; those of several branches one after the other.

        values: those of the nodes, by point.
        """
        maps = {point: list(map(self.as_maps, values[point], nodes)) for point, nodes in self.nodes.items()}
        return {point: torch.cat(each) if len(each) > 1 else each[0] for point, each in maps.items()}

    def as_maps(self, value: Tensor, node: fx.Node) -> Tensor:
        """Return the channels' maps (n, P, M, N) in the value of a node, which can be flat."""
        axis, channels = self._axis_of(node), self._group.channels
        value = value if axis.dim == 1 else value.movedim(axis.dim, 1)
        if not axis.in_order(channels):
            order = np.argsort(axis.numbers, kind="stable")[(axis.numbers < 0).sum() :]
            value = value.index_select(1, torch.from_numpy(order).to(value.device))
        if value.ndim == 4:
            return value
        maps = value.reshape(len(value), channels, -1)
        shape = self.map_shape if maps.shape[2] == math.prod(self.map_shape) else (1, maps.shape[2])
        return maps.reshape(*maps.shape[:2], *shape)

    def _axis_of(self, node: fx.Node) -> ChannelAxis:
        """Return where the channels lie in a value that has them."""
        return required(self._axis_in(node), f"layer: its channels are not in {node.name}")

    def _reads(self, node: fx.Node) -> bool:
        """Return whether a node is a call of a layer that reads the channels."""
        return node.op == "call_module" and node.target in self._group.readers

    def _chain_from(self, node: fx.Node) -> list[fx.Node]:
        """Return the operations that the channels pass, from the layer on, until they branch, are joined or are read.

        The channels lie in each of the values one after the other, and no others.
        """
        chain = [node]
        while True:
            users = [user for user in chain[-1].users if is_tensor(user)]
            if len(users) != 1 or self._reads(users[0]):
                return chain
            axis = self._axis_in(users[0])
            if axis is None or not axis.in_order(self._group.channels):
                return chain
            chain.append(users[0])

    def _last_map(self) -> fx.Node:
        """Return the last value of the chain, before it is flattened, which would lose the memory layout."""
        for before, node in reversed(list(itertools.pairwise(self.chain))):
            flattened = len(shape_of(before)) > 2 and math.prod(shape_of(before)) == math.prod(shape_of(node))
            copies = flattened or calls(self._traced, node, UNCHANGED_MODULES, UNCHANGED)
            if len(shape_of(node)) != 2 or not copies:
                return node
        return self.chain[0]

    def _shape_of_maps(self, end: fx.Node) -> tuple[int, int]:
        """Return the height and width of the maps at the end of the chain, flattened or not."""
        positions = math.prod(shape_of(end)[1:]) // self._group.channels
        before = self.chain[: self.chain.index(end) + 1]
        shapes = [shape_of(node) for node in reversed(before) if len(shape_of(node)) == 4]
        return next(((h, w) for _, _, h, w in shapes if h * w == positions), (1, positions))

    def _first_activations(self) -> tuple[list[fx.Node], str]:
        """Return the first activation behind each branch of the channels, or why there is none on one of them."""
        passed = {node for node in self._traced.graph.nodes if node.target == self.chain[0].target}
        # For each value behind an activation, the first activations before it.
        sources: dict[fx.Node, set[fx.Node]] = {}
        activations = []
        for node in self._traced.graph.nodes:
            signed = not passed.isdisjoint(node.all_input_nodes)
            behind = set().union(*(sources.get(operand, ()) for operand in node.all_input_nodes))
            if not (signed or behind) or not is_tensor(node):
                continue
            if self._reads(node):
                if signed:
                    return [], f"{node.target} reads its channels before an activation"
            elif self._axis_in(node) is not None:
                sources[node] = behind
                if signed and calls(self._traced, node, ACTIVATION_MODULES, ACTIVATIONS):
                    activations.append(node)
                    sources[node] = {node}
                elif signed:
                    passed.add(node)
        if len(activations) == 1 and activations[0] in self.chain:
            return activations, ""
        if any(len(each) > 1 for each in sources.values()):
            return [], "several activations are joined before they are read"
        once = [np.sort(numbers[numbers >= 0]) for numbers in (self._axis_of(node).numbers for node in activations)]
        all_once = all(np.array_equal(each, np.arange(self._group.channels)) for each in once)
        if not all_once or len({shape_of(node)[2:] for node in activations}) > 1:
            return [], "the maps behind its activations have different sizes"
        return activations, "" if activations else "no activation follows it"
