"""The network downstream of a layer: the layers that read its channels, and all that depends on their outputs.

For each set of removed channels only this part runs again. It starts from values that do not depend on the removal, the
crossing values, which the part before computes once.

It runs as the pruned network does: without the removed channels in any of its layers. Where a map replaces a
removed channel, the layers that read it add their response to the map. (They are linear in their input. The response is
the same for all inputs, but at the border of a padded convolution it differs from that inside.)
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn.functional import cross_entropy

from prunecurve.errors import required
from prunecurve.graph.cutting import copied, keep_weights
from prunecurve.graph.fusion import fuse
from prunecurve.graph.groups import ChannelAxis, Group
from prunecurve.graph.nodes import part_after, shape_of
from prunecurve.graph.operations import runs_as
from prunecurve.graph.pruning import PrunedInterpreter, paths_in, pruned_parts
from prunecurve.graph.sizes import sizes_by_count


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


class Downstream(PrunedInterpreter):
    """What runs again when channels of a group are removed.

    crossing: the values that it reads from the part before, tensors; some contain channels of the group. readings: the
    calls that read the channels. again: all operations that run again, readings included. belonging: the paths of the
    modules and parameters of the group that run again.
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
        self.group = group
        calls = [node for node in traced.graph.nodes if node.op == "call_module" and node.target in group.readers]
        module, self.again, self.crossing, sizes, copies = part_after(traced, calls)
        super().__init__(module)
        self._axes = [axis_in(node) for node in self.crossing]
        self.readings, start = [], 0
        for node in calls:
            (value,) = node.all_input_nodes
            shape = shape_of(value)[1:]
            stop = start + math.prod(shape)
            axis = required(axis_in(value), f"layer: {node.target} reads none of its channels")
            self.readings.append(Reading(node.target, value, axis, shape, slice(start, stop)))
            start = stop
        self.belonging = paths_in(module.graph, group)
        self._reading_of = {copies[node]: reading for node, reading in zip(calls, self.readings)}
        self._sizes: Callable[[int, int], list[object]] = lambda count, left: []
        if sizes:
            self._sizes = sizes_by_count(traced, group, sizes, input_shape)
        self._removed = self._none = np.zeros(0, np.int64)
        self._replacement: Tensor | None = None
        self._observed: list[tuple[Reading, Tensor]] | None = None

    def fuse(self) -> None:
        """Make all later evaluations faster, with the same results but for rounding; see `fusion.fuse`."""
        fuse(self.module)
        # The interpreter knows the modules, and after which operation each value can be freed.
        super().__init__(self.module)
        self.belonging = paths_in(self.module.graph, self.group)

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
        self._removed, self._replacement = np.unique(np.asarray(removed, np.int64)), replacement
        cut = 0 < len(self._removed) < self.group.channels
        if cut:
            kept = np.setdiff1d(np.arange(self.group.channels), self._removed)
            self.parts = pruned_parts(self.module, self.belonging, self.group, kept)
        removed = self._removed if cut else self._none
        try:
            return self.run(
                *self.without(values, removed), *self._sizes(self._count(values), self.group.channels - len(removed))
            )
        finally:
            self.parts = {}

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

    def masked(self, values: Sequence[Tensor], removed: np.ndarray) -> Tensor:
        """Return the logits (n, C) with zeros instead of removed channels where they are read, by whole layers.

        The arithmetic of `logits` without channels is that of the pruned network; this is its definition.
        """
        self._removed, self._replacement = np.asarray(removed, np.int64), None
        return self.run(*values, *self._sizes(self._count(values), self.group.channels))

    def _count(self, values: Sequence[Tensor]) -> int:
        """Return the number of inputs of crossing values."""
        return len(values[0]) * 2 // shape_of(self.crossing[0])[0]

    def effects(self, values: Sequence[Tensor], labels: Tensor) -> np.ndarray:
        """Return the derivative (n, P), float64, of each input's loss with respect to a factor 1 on each channel.

        The factor is on the channel wherever it is read. labels: int64 (n,). The loss is the cross-entropy.
        """
        self._observed = []
        try:
            inputs = [value.requires_grad_() if value.is_floating_point() else value for value in values]
            cross_entropy(self.logits(inputs, self._none), labels, reduction="sum").backward()
            result = np.zeros((len(labels), self.group.channels))
            for reading, value in self._observed:
                product = (value.grad.double() * value.detach()).movedim(reading.axis.dim, 1)
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
        args, kwargs = self.fetch_args_kwargs_from_env(node)
        (value,) = args or kwargs.values()
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
        layer = copied(self.fetch_attr(reading.path))
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
