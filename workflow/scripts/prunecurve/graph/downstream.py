"""The network downstream of a layer: the layers that read its channels, and all that depends on their outputs.

For each set of removed channels only this part runs again. It starts from values that do not depend on the removal, the
crossing values, which the part before computes once.

It runs as the pruned network does: without the removed channels in any of its layers. Where a map replaces a
removed channel, the layers that read it add their response to the map. (They are linear in their input. The response is
the same for all inputs, but at the border of a padded convolution it differs from that inside.)
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn.functional import cross_entropy
from torch.utils._pytree import tree_map

from prunecurve.errors import required
from prunecurve.graph.fusion import fuse
from prunecurve.graph.nodes import depending_on, example_of, is_tensor, part_before, part_of, shape_of
from prunecurve.graph.operations import runs_as
from prunecurve.graph.pruning import ChannelAxis, Group, PrunedInterpreter, copied, keep_weights, pruned_parts

# Replaces the number of inputs in a size.
COUNT = object()


class Reading(NamedTuple):
    """A call of a layer that reads channels of a group; a layer can be called several times.

    path: the module path of the layer. value: what it reads. axis: where the channels lie in it. shape: that of
    `value` for one input. place: the entries of `value` in a flat array of all readings, in the order of the network.
    """

    path: str
    value: fx.Node
    axis: ChannelAxis
    shape: tuple[int, ...]
    place: slice

    def numbers(self) -> np.ndarray:
        """Return the number of the channel of each entry of the value for one input, flat; −1 for none."""
        numbers = self.axis.numbers.reshape(-1, *[1] * (len(self.shape) - self.axis.dim))
        return np.broadcast_to(numbers, self.shape).flatten()


class Downstream(PrunedInterpreter):
    """What runs again when channels of a group are removed.

    crossing: the values that it reads from the part before, tensors; some contain channels of the group. readings: the
    calls that read the channels. again: all operations of the network that run again, readings included.
    """

    def __init__(
        self,
        traced: fx.GraphModule,
        group: Group,
        axis_in: Callable[[fx.Node], ChannelAxis | None],
        input_shape: Sequence[int],
    ) -> None:
        """Cut the network before the calls that read the channels.

        axis_in: where the channels lie in a value of the graph. input_shape: (C, S, S) of one input. Raises ValueError
        if the output of the network does not depend on the channels, or if the part computes with the number of inputs.
        """
        nodes = traced.graph.nodes
        calls = [node for node in nodes if node.op == "call_module" and node.target in group.readers]
        self.again = depending_on(traced, calls)
        if traced.graph.output_node() not in self.again:
            raise ValueError("the logits do not depend on its channels")
        placeholders = [node for node in nodes if node.op == "placeholder"]
        from_inputs = depending_on(traced, placeholders)
        operands = dict.fromkeys(operand for node in self.again for operand in node.all_input_nodes)
        # What depends on no input is a constant, which is computed again.
        read = [node for node in operands if node in from_inputs and node not in self.again]
        self.crossing = [node for node in read if is_tensor(node)]
        sizes = [node for node in read if not is_tensor(node)]
        graph = fx.Graph()
        copies = dict.fromkeys(placeholders)
        copies |= {node: graph.placeholder(node.name) for node in (*self.crossing, *sizes)}
        graph.output(graph.graph_copy(traced.graph, copies))
        super().__init__(part_of(traced, graph), group)
        self._axes = [axis_in(node) for node in self.crossing]
        self.readings, start = [], 0
        for node in calls:
            (value,) = node.all_input_nodes
            shape = shape_of(value)[1:]
            stop = start + math.prod(shape)
            axis = required(axis_in(value), f"layer: {node.target} reads none of its channels")
            self.readings.append(Reading(node.target, value, axis, shape, slice(start, stop)))
            start = stop
        self._reading_of = {copies[node]: reading for node, reading in zip(calls, self.readings)}
        self._sizes = _sizes_by_count(traced, group, sizes, input_shape)
        self._removed = np.zeros(0, np.int64)
        self._replacement: Tensor | None = None
        self._observed: list[tuple[Reading, Tensor]] | None = None

    def fuse(self) -> None:
        """Make all later evaluations faster, with the same results but for rounding; see `fusion.fuse`."""
        fuse(self.module)
        # The interpreter knows the modules, and after which operation each value can be freed.
        super().__init__(self.module, self.group)

    # ---- the crossing values

    def shapes(self) -> list[tuple[int, ...]]:
        """Return the shapes of the crossing values for one input."""
        return [shape_of(node)[1:] for node in self.crossing]

    def split(self, rows: Tensor) -> list[Tensor]:
        """Return the crossing values that rows (n, D) hold one after the other."""
        parts = rows.split([math.prod(shape) for shape in self.shapes()], 1)
        return [part.reshape(len(rows), *shape) for part, shape in zip(parts, self.shapes())]

    def storable(self) -> bool:
        """Return whether the crossing values can be stored: tensors of float32 with one entry per input."""
        return all(shape_of(node)[0] == 2 and node.meta["tensor_meta"].dtype == torch.float32 for node in self.crossing)

    # ---- one evaluation

    def logits(self, values: Sequence[Tensor], removed: np.ndarray, replacement: Tensor | None = None) -> Tensor:
        """Return the logits (n, C) without some channels.

        values: the crossing values for n inputs. removed: channel numbers. replacement: the values that replace those
        of the removed channels in all readings, a flat array; None means zero.
        """
        removed = np.unique(np.asarray(removed, np.int64))
        if not 0 < len(removed) < self.group.channels:
            return self._run(self.without(values, removed[:0]), removed, replacement)
        kept = np.setdiff1d(np.arange(self.group.channels), removed)
        self.parts = pruned_parts(self.module, self.belonging, self.group, kept)
        try:
            return self._run(self.without(values, removed), removed, replacement, len(kept))
        finally:
            self.parts = {}

    def masked(self, values: Sequence[Tensor], removed: np.ndarray) -> Tensor:
        """Return the logits (n, C) with zeros instead of removed channels where they are read, by whole layers.

        The arithmetic of `logits` without channels is that of the pruned network; this is its definition.
        """
        return self._run(values, removed)

    def _run(
        self, values: Sequence[Tensor], removed: np.ndarray, replacement: Tensor | None = None, left: int | None = None
    ) -> Tensor:
        self._removed, self._replacement = removed, replacement
        count = len(values[0]) * 2 // shape_of(self.crossing[0])[0]
        return self.run(*values, *self._sizes(count, left or self.group.channels))

    def without(self, values: Sequence[Tensor], removed: np.ndarray) -> list[Tensor]:
        """Return the crossing values without removed channels, maps in the layout that is fastest for layers."""
        kept = [
            value if axis is None else _chosen(value, axis.dim, axis.without(removed))
            for value, axis in zip(values, self._axes)
        ]
        return [value.contiguous(memory_format=_layout(value)) for value in kept]

    def prepared(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return the crossing values in the layouts in which `logits` reads them fastest, with the same results.

        From maps that lie one after the other, channels are chosen in half the time.
        """
        return [
            value.contiguous(memory_format=_layout(value) if axis is None else torch.contiguous_format)
            for value, axis in zip(values, self._axes)
        ]

    def effects(self, values: Sequence[Tensor], labels: Tensor, means: Tensor | None = None) -> np.ndarray:
        """Return the derivative (n, P), float64, of each input's loss with respect to a factor 1 on each channel.

        The factor is on the channel wherever it is read. labels: int64 (n,). The loss is the cross-entropy. means: if
        the factor is on the deviation from these values, those of all readings in a flat array.
        """
        self._observed = []
        try:
            inputs = [value.requires_grad_() if value.is_floating_point() else value for value in values]
            cross_entropy(self.logits(inputs, self._removed[:0]), labels, reduction="sum").backward()
            result = np.zeros((len(labels), self.group.channels))
            for reading, value in self._observed:
                deviation = value.detach() if means is None else value.detach() - _constant(reading, means)
                product = (value.grad.double() * deviation).movedim(reading.axis.dim, 1)
                each = product.flatten(2).sum(2) if product.ndim > 2 else product
                own = reading.axis.numbers >= 0
                np.add.at(result.T, reading.axis.numbers[own], each.numpy()[:, own].T)
            return result
        finally:
            self._observed = None

    def run_node(self, node: fx.Node) -> object:
        """Run an operation; in a reading, removed channels have their replacement."""
        reading = self._reading_of.get(node)
        if reading is None:
            return super().run_node(node)
        (value,) = (self.env[each] for each in node.all_input_nodes)
        if self._observed is not None:
            value = value.view_as(value)
            value.retain_grad()
            self._observed.append((reading, value))
        if reading.path in self.parts:
            output = self.parts[reading.path](value)
            return output if self._replacement is None else output + self._response(reading, self._replacement)
        return self.fetch_attr(reading.path)(self._overwritten(value, reading))

    def _overwritten(self, value: Tensor, reading: Reading) -> Tensor:
        """Return what a layer reads, with the removed channels replaced."""
        entries = torch.from_numpy(reading.axis.entries(self._removed))
        if not len(entries):
            return value
        if self._replacement is None:
            return value.index_fill(reading.axis.dim, entries, 0.0)
        constant = _constant(reading, self._replacement).expand(value.shape).index_select(reading.axis.dim, entries)
        return value.index_copy(reading.axis.dim, entries, constant)

    def _response(self, reading: Reading, replacement: Tensor) -> Tensor:
        """Return what the replacement of the removed channels adds to the output of a pruned layer, for one input."""
        entries, maker = reading.axis.entries(self._removed), self.group.makers.get(reading.path)
        rows = None if maker is None else torch.from_numpy(np.flatnonzero(~np.isin(maker, self._removed)))
        layer = copied(self.module.get_submodule(reading.path))
        keep_weights(layer, rows, torch.from_numpy(entries))
        constant = _chosen(_constant(reading, replacement), reading.axis.dim, entries)
        if not runs_as(layer, (nn.Conv2d, nn.Linear)):
            # A class of the user can add something of its own.
            return layer(constant) - layer(torch.zeros_like(constant))
        layer.bias = None
        return layer(constant)


def _constant(reading: Reading, replacement: Tensor) -> Tensor:
    """Return what replaces the value of a reading if all channels are removed, for one input."""
    return replacement[reading.place].reshape(1, *reading.shape)


def _chosen(value: Tensor, dim: int, entries: np.ndarray) -> Tensor:
    """Return some entries of a value along a dimension."""
    return value if len(entries) == value.shape[dim] else value.index_select(dim, torch.from_numpy(entries))


def _layout(value: Tensor) -> torch.memory_format:
    """Return the memory layout that is fastest for layers on CPUs."""
    return torch.channels_last if value.ndim == 4 else torch.contiguous_format


def _sizes_by_count(
    traced: fx.GraphModule, group: Group, nodes: Sequence[fx.Node], input_shape: Sequence[int]
) -> Callable[[int, int], list[object]]:
    """Return a function of the number of inputs and of the channels left, which returns the values of these nodes.

    The network runs with two and three inputs (C, S, S), once for each number of channels left. Raises ValueError if a
    value depends on the number of inputs and is not this number.
    """
    if not nodes:
        return lambda count, left: []
    part = part_before(traced, nodes)

    @functools.cache
    @torch.no_grad()
    def sizes(left: int) -> list[object]:
        small, example = PrunedInterpreter(part, group, np.arange(left)), example_of(traced, input_shape)
        return tree_map(_size, *(small.run(example.expand(count, *input_shape)) for count in (2, 3)))

    # Networks whose sizes depend on the number of inputs are refused at once.
    sizes(group.channels)
    return lambda count, left: fx.node.map_aggregate(sizes(left), lambda each: count if each is COUNT else each)


def _size(two: object, three: object) -> object:
    """Return a size that is the same for two and three inputs; COUNT, for the number of inputs, if it is 2 and 3."""
    if two != three and (two, three) != (2, 3):
        raise ValueError("the network computes with the number of inputs")
    return two if two == three else COUNT
