"""The rest of a network: the layers that read the channels of a group, and all that depends on their outputs.

For each set of removed channels only this part runs again. It starts from values that do not depend on the removal, the
crossing values, which the part before computes once.

The rest runs as the smaller network does: without the removed channels in any of its layers. Where a map replaces a
removed channel, the layers that read it add their response to the map. (They are linear in their input. The response is
the same for all inputs, but at the border of a padded convolution it is another one than inside.)
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn.functional import cross_entropy

from prunecurve.graph.channels import Carried, Group
from prunecurve.graph.cutting import copied, keep_weights
from prunecurve.graph.fusion import simplify
from prunecurve.graph.operations import runs_as
from prunecurve.graph.pruning import Smaller, paths_in, smaller_parts
from prunecurve.graph.tracing import depending_on, is_tensor, shape_of

# In place of the number of inputs, in what is known of sizes.
COUNT = object()


class Reading(NamedTuple):
    """A call of a layer that reads channels of a group; a layer can be called several times.

    path: the module path of the layer. given: what it reads. carried: where the channels lie in it. shape: that of
    `given` for one input. place: the entries of `given` in a flat array of all readings, in the order of the network.
    """

    path: str
    given: fx.Node
    carried: Carried
    shape: tuple[int, ...]
    place: slice


class Rest(Smaller):
    """What runs again when channels of a group are removed.

    crossing: the values that it reads from the part before, tensors; some contain channels of the group. readings: the
    calls that read the channels. again: all operations that run again, readings included. belonging: the paths of the
    modules and parameters of the group that run again.
    """

    def __init__(self, traced: fx.GraphModule, group: Group, carried: Callable[[fx.Node], Carried | None]) -> None:
        """Find the rest of a network. carried: where the channels lie in a value of the graph.

        Raises ValueError if the output of the network does not depend on the channels.
        """
        self.group = group
        calls = [node for node in traced.graph.nodes if node.op == "call_module" and node.target in group.readers]
        self.again = depending_on(traced, calls)
        output = next(node for node in traced.graph.nodes if node.op == "output")
        if output not in self.again:
            raise ValueError("the logits do not depend on its channels")
        inputs = [node for node in traced.graph.nodes if node.op == "placeholder"]
        from_inputs = depending_on(traced, inputs)
        crossing = [
            given
            for node in self.again
            for given in node.all_input_nodes
            if given in from_inputs and given not in self.again
        ]
        self.crossing = [node for node in dict.fromkeys(crossing) if is_tensor(node)]
        # Numbers, such as the number of inputs.
        self.sizes = [node for node in dict.fromkeys(crossing) if not is_tensor(node)]
        graph, copies = fx.Graph(), {}
        for node in [*self.crossing, *self.sizes]:
            copies[node] = graph.placeholder(node.name)
        for node in traced.graph.nodes:
            # What depends on no input is a constant, which is computed again.
            if node not in copies and (node in self.again or node not in from_inputs):
                copies[node] = graph.node_copy(node, copies.__getitem__)
        super().__init__(fx.GraphModule(traced, graph))
        # Constants that nothing reads.
        self.module.graph.eliminate_dead_code()
        self._carried = [carried(node) for node in self.crossing]
        self.readings, place = [], 0
        for node in calls:
            (given,) = node.all_input_nodes
            shape = shape_of(given)[1:]
            self.readings.append(
                Reading(node.target, given, carried(given), shape, slice(place, place + math.prod(shape)))
            )
            place = self.readings[-1].place.stop
        self.belonging = paths_in(self.module.graph, group)
        self._reading_of = {copies[node]: reading for node, reading in zip(calls, self.readings)}
        self._sizes: Callable[[int, int], list[object]] = lambda count, left: []
        self._removed = self._none = np.zeros(0, np.int64)
        self._replacement: Tensor | None = None
        self._observed: list[tuple[Reading, Tensor]] | None = None

    def simplify(self) -> None:
        """Make all later evaluations faster, with the same results but for rounding; see `simpler.simplify`."""
        simplify(self.module)
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

    def know_sizes(self, sizes: Callable[[int, int], Sequence[object]]) -> None:
        """Learn the values of `self.sizes`, given a function of the number of inputs and of channels that are left.

        Raises ValueError if one depends on the number of inputs and is not this number.
        """

        @functools.lru_cache(maxsize=self.group.channels)
        def patterns(left: int) -> list[object]:
            return list(map(_pattern, sizes(2, left), sizes(3, left)))

        patterns(self.group.channels)
        self._sizes = lambda count, left: [_filled(pattern, count) for pattern in patterns(left)]

    # ---- one evaluation

    def logits(self, values: Sequence[Tensor], removed: np.ndarray, replacement: Tensor | None = None) -> Tensor:
        """Return the logits (n, C) without some channels.

        values: the crossing values for n inputs. removed: channel numbers. replacement: the values that replace those
        of the removed channels in all readings, a flat array; None means zero.
        """
        self._removed, self._replacement = np.unique(np.asarray(removed, np.int64)), replacement
        count = len(values[0]) * 2 // shape_of(self.crossing[0])[0]
        cut = 0 < len(self._removed) < self.group.channels
        if cut:
            kept = np.setdiff1d(np.arange(self.group.channels), self._removed)
            self.parts = smaller_parts(self.module, self.belonging, self.group, kept)
        removed = self._removed if cut else self._none
        try:
            return self.run(*self.without(values, removed), *self._sizes(count, self.group.channels - len(removed)))
        finally:
            self.parts = {}

    def without(self, values: Sequence[Tensor], removed: np.ndarray) -> list[Tensor]:
        """Return the crossing values without removed channels, maps in the layout that is fastest for layers."""
        given = [
            value if carried is None else _chosen(value, carried.dim, carried.without(removed))
            for value, carried in zip(values, self._carried)
        ]
        return [value.contiguous(memory_format=_layout(value)) for value in given]

    def prepared(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return the crossing values in the layouts in which `logits` reads them fastest, with the same results.

        From maps that lie one after the other, channels are chosen in half the time.
        """
        return [
            value.contiguous(memory_format=_layout(value) if carried is None else torch.contiguous_format)
            for value, carried in zip(values, self._carried)
        ]

    def masked(self, values: Sequence[Tensor], removed: np.ndarray) -> Tensor:
        """Return the logits (n, C) with zeros in place of removed channels where they are read, by whole layers.

        The arithmetic of `logits` without channels is that of the smaller network; this is its definition.
        """
        self._removed, self._replacement = np.asarray(removed, np.int64), None
        count = len(values[0]) * 2 // shape_of(self.crossing[0])[0]
        return self.run(*values, *self._sizes(count, self.group.channels))

    def effects(self, values: Sequence[Tensor], labels: Tensor) -> np.ndarray:
        """Return the derivative (n, P), float64, of each input's loss with respect to a factor 1 on each channel.

        The factor is on the channel wherever it is read. labels: int64 (n,). The loss is the cross-entropy.
        """
        self._observed = []
        try:
            given = [value.requires_grad_() if value.is_floating_point() else value for value in values]
            cross_entropy(self.logits(given, self._none), labels, reduction="sum").backward()
            result = np.zeros((len(labels), self.group.channels))
            for reading, value in self._observed:
                product = (value.grad.double() * value.detach()).movedim(reading.carried.dim, 1)
                each = product.flatten(2).sum(2) if product.ndim > 2 else product
                own = reading.carried.numbers >= 0
                np.add.at(result, (slice(None), reading.carried.numbers[own]), each.numpy()[:, own])
            return result
        finally:
            self._observed = None

    def run_node(self, node: fx.Node) -> object:
        """Run an operation; in a reading, removed channels have their replacement."""
        reading = self._reading_of.get(node)
        if reading is None:
            return super().run_node(node)
        args, kwargs = self.fetch_args_kwargs_from_env(node)
        (given,) = (*args, *kwargs.values())
        if self._observed is not None:
            given = given.view_as(given)
            given.retain_grad()
            self._observed.append((reading, given))
        if reading.path in self.parts:
            output = self.parts[reading.path](given)
            return output if self._replacement is None else output + self._response(reading)
        return self.fetch_attr(reading.path)(self._overwritten(given, reading))

    def _overwritten(self, given: Tensor, reading: Reading) -> Tensor:
        """Return what a layer reads, with the replacement in place of the removed channels."""
        entries = torch.from_numpy(reading.carried.entries(self._removed))
        if not len(entries):
            return given
        if self._replacement is None:
            return given.index_fill(reading.carried.dim, entries, 0.0)
        constant = self._constant(reading).expand(given.shape).index_select(reading.carried.dim, entries)
        return given.index_copy(reading.carried.dim, entries, constant)

    def _constant(self, reading: Reading) -> Tensor:
        return self._replacement[reading.place].reshape(1, *reading.shape)

    def _response(self, reading: Reading) -> Tensor:
        """Return what the replacement of the removed channels adds to the output of a smaller layer, for one input."""
        entries, maker = reading.carried.entries(self._removed), self.group.makers.get(reading.path)
        rows = None if maker is None else torch.from_numpy(np.flatnonzero(~np.isin(maker, self._removed)))
        layer = copied(self.fetch_attr(reading.path))
        keep_weights(layer, rows, torch.from_numpy(entries))
        constant = _chosen(self._constant(reading), reading.carried.dim, entries)
        if not runs_as(layer, (nn.Conv2d, nn.Linear)):
            # A class of the user can add something of its own.
            return layer(constant) - layer(torch.zeros_like(constant))
        layer.bias = None
        return layer(constant)


def _chosen(value: Tensor, dim: int, entries: np.ndarray) -> Tensor:
    """Return some entries of a value along a dimension."""
    return value if len(entries) == value.shape[dim] else value.index_select(dim, torch.from_numpy(entries))


def _layout(value: Tensor) -> torch.memory_format:
    """Return the memory layout that is fastest for layers on CPUs."""
    return torch.channels_last if value.ndim == 4 else torch.contiguous_format


def _pattern(two: object, three: object) -> object:
    """Return a size that is the same for two and three inputs; COUNT, for the number of inputs, if it is 2 and 3."""
    if isinstance(two, tuple):
        return tuple(map(_pattern, two, three))
    if two == three:
        return two
    if (two, three) == (2, 3):
        return COUNT
    raise ValueError("the network computes with the number of inputs")


def _filled(pattern: object, count: int) -> object:
    if isinstance(pattern, tuple):
        return tuple(_filled(each, count) for each in pattern)
    return count if pattern is COUNT else pattern
