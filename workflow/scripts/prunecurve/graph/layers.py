"""A layer of any network, by its module path: its channels, what they pass through, and what depends on them."""

import copy
import difflib
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, fx, nn

from prunecurve.errors import StudyError
from prunecurve.graph.channels import Carried, Channels
from prunecurve.graph.downstream import Reading, Rest
from prunecurve.graph.operations import NORMS, UNCHANGED, UNCHANGED_MODULES, calls, is_activation
from prunecurve.graph.pruning import run_part, run_smaller, smaller
from prunecurve.graph.tracing import CLASSES, is_tensor, shape_of, traced_network
from prunecurve.model.messages import one_line

# The points where activations can be measured, in the order of the data flow: the layer's output, after batch
# normalisation, after the activation, and what the layers that read the channels are given. Where the channels branch
# before an activation, the last two are after the first activation of each branch.
POINTS = ("conv", "bn", "relu", "pool")


class NotPrunable(StudyError):
    """Why the channels of a layer can't be removed one by one."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"layer: {path} can't be pruned: {reason}")
        self.reason = reason


class Analysis(NamedTuple):
    """A network's graph in evaluation mode, the labels of its channels, and the number of its logits."""

    traced: fx.GraphModule
    labels: Channels
    classes: int

    @classmethod
    def of(cls, model: nn.Module, input_shape: Sequence[int], leaf_modules: Sequence[str] = ()) -> "Analysis":
        """Analyse a network that reads inputs of this shape (C, S, S). Raises StudyError if this is not possible."""
        traced, classes = traced_network(model, input_shape, leaf_modules)
        return cls(traced, Channels(traced, example_of(traced, input_shape).repeat(2, 1, 1, 1)), classes)


class Measured(NamedTuple):
    """What a network computes for n inputs.

    maps: the maps (n, P, M, N) of a layer at each of POINTS. crossing: the crossing values of the rest of the network.
    given: what all readings are given, one after the other, (n, E).
    """

    maps: dict[str, Tensor]
    crossing: list[Tensor]
    given: Tensor


class PrunableLayer:
    """A Conv2d or Linear of a network in evaluation mode, whose channels can be removed one by one.

    path: its module path. module: the layer. channels: P. group: the entries of all modules that belong to its
    channels. chain: the operations that its channels pass one after the other, from the layer on, until they branch or
    are read. map_shape: (h, w) of a channel's map at the end of the chain; (1, 1) behind a linear layer. signed: why
    nothing can be measured behind an activation, empty if it can. rest: what runs again when channels are removed.
    readers: the modules that read the channels, by path. classes: the number of logits.
    """

    def __init__(
        self,
        model: nn.Module,
        path: str,
        input_shape: Sequence[int],
        analysis: Analysis | None = None,
        leaf_modules: Sequence[str] = (),
    ) -> None:
        """Find the layer `path` in a network that reads inputs of this shape (C, S, S).

        path: a module path such as `conv2` or `layer1.0.conv2`; `last` means the last Conv2d. analysis: that of the
        network, if there is one already. leaf_modules: see `traced_network`. Raises StudyError if there is no such
        layer or if it can't be pruned; the message names the operation that prevents it.
        """
        self.input_shape = tuple(input_shape)
        self.traced, self._labels, self.classes = analysis or Analysis.of(model, input_shape, leaf_modules)
        node = _node_of(self.traced, path, self._labels)
        self.path, self.module = node.target, self._module(node)
        self.channels = len(self.module.weight)
        if reason := self._labels.refusal(self.path):
            raise self._refuse(reason)
        self.group = self._labels.group(self.path)
        self._known: dict[fx.Node, Carried | None] = {}
        try:
            self.rest = Rest(self.traced, self.group, self._carried)
            if self.rest.sizes:
                self.rest.know_sizes(self._sizes())
        except ValueError as error:
            raise self._refuse(str(error)) from error
        self.readers = {path: self.traced.get_submodule(path) for path in self.group.readers}
        self.chain = self._chain(node)
        self.end = self._end_of_maps()
        activations, self.signed = self._first_activations()
        self._points = self._point_nodes(activations)
        self.map_shape = self._shape_of_maps()

    def _module(self, node: fx.Node) -> nn.Module:
        return self.traced.get_submodule(node.target)

    def _refuse(self, reason: str) -> NotPrunable:
        return NotPrunable(self.path, reason)

    def _carried(self, node: fx.Node) -> Carried | None:
        # Asked for again for each batch of inputs.
        if node not in self._known:
            self._known[node] = self._labels.carried(self.path, node)
        return self._known[node]

    def _sizes(self) -> Callable[[int, int], list[object]]:
        """Return a function that computes the sizes that the rest of the network reads.

        Its arguments are a number of inputs, and how many channels of the group are left.
        """
        part = self._before(_numbered("size", self.rest.sizes))

        @torch.no_grad()
        def sizes(count: int, left: int) -> list[object]:
            inputs = self.example().expand(count, *self.input_shape)
            return list(run_part(part, self.traced, self.group, np.arange(left), inputs).values())

        return sizes

    def _chain(self, node: fx.Node) -> list[fx.Node]:
        """Return the operations that the channels pass, from the layer on, until they branch, are joined or are read.

        The channels lie in each of the values one after the other, and no others.
        """
        chain = [node]
        while True:
            users = [user for user in chain[-1].users if is_tensor(user)]
            if len(users) != 1 or (users[0].op == "call_module" and users[0].target in self.group.readers):
                return chain
            carried = self._carried(users[0])
            if carried is None or not carried.in_order(self.channels):
                return chain
            chain.append(users[0])

    def _shape_of_maps(self) -> tuple[int, int]:
        """Return the height and width of the maps at the end of the chain, flattened or not."""
        positions = math.prod(shape_of(self.end)[1:]) // self.channels
        before = self.chain[: self.chain.index(self.end) + 1]
        shapes = [tuple(shape_of(node)[2:]) for node in before if len(shape_of(node)) == 4]
        return next((shape for shape in reversed(shapes) if math.prod(shape) == positions), (1, positions))

    def _end_of_maps(self) -> fx.Node:
        """Return the last value of the chain, before it is flattened, which would lose the memory layout."""
        end = self.chain[-1]
        while len(shape_of(end)) == 2 and self._is_flat_copy(end):
            end = self.chain[self.chain.index(end) - 1]
        return end

    def _first_activations(self) -> tuple[list[fx.Node], str]:
        """Return the first activation behind each branch of the channels, or why there is none on one of them."""
        passed, found = {node for node in self.traced.graph.nodes if node.target == self.path}, []
        for node in self.traced.graph.nodes:
            if passed.isdisjoint(node.all_input_nodes) or not is_tensor(node):
                continue
            if node.op == "call_module" and node.target in self.group.readers:
                return [], f"{node.target} reads its channels before an activation"
            if self._carried(node) is not None:
                found.append(node) if is_activation(self.traced, node) else passed.add(node)
        if len(found) == 1 and found[0] in self.chain:
            return found, ""
        if self._meet(found):
            return [], "what several activations give is joined before it is read"
        if len({shape_of(node)[2:] for node in found}) > 1 or any(not self._has_each_once(node) for node in found):
            return [], "the maps behind its activations have different sizes"
        return found, "" if found else "no activation is behind it"

    def _meet(self, nodes: list[fx.Node]) -> bool:
        """Return whether channels behind several of these operations are joined before they are read."""
        sources = {node: {node} for node in nodes}
        for node in self.traced.graph.nodes:
            if node in sources or (node.op == "call_module" and node.target in self.group.readers):
                continue
            given = [sources[each] for each in node.all_input_nodes if each in sources]
            if given and is_tensor(node) and self._carried(node) is not None:
                sources[node] = set().union(*given)
        return any(len(each) > 1 for each in sources.values())

    def _has_each_once(self, node: fx.Node) -> bool:
        numbers = self._carried(node).numbers
        return np.array_equal(np.bincount(numbers[numbers >= 0], minlength=self.channels), np.ones(self.channels))

    def _point_nodes(self, activations: list[fx.Node]) -> dict[str, list[fx.Node]]:
        """Return the values at each of POINTS; if the network has no such operation, it is the value before it."""
        bn = next((node for node in self.chain[1:] if calls(self.traced, node, NORMS)), self.chain[0])
        branched = activations and activations[0] not in self.chain
        relu = activations or [bn]
        return {"conv": [self.chain[0]], "bn": [bn], "relu": relu, "pool": relu if branched else [self.end]}

    def _is_flat_copy(self, node: fx.Node) -> bool:
        """Return whether an operation of the chain copies values, or maps into one row."""
        given = shape_of(node.all_input_nodes[0])
        flattened = len(given) > 2 and math.prod(given) == math.prod(shape_of(node))
        return node is not self.chain[0] and (flattened or calls(self.traced, node, UNCHANGED_MODULES, UNCHANGED))

    def _before(self, values: Mapping[str, fx.Node]) -> fx.GraphModule:
        """Return the part of the network that computes these values, with a dictionary of them as its output."""
        needed, waiting = set(), list(values.values())
        while waiting:
            node = waiting.pop()
            if node not in needed:
                needed.add(node)
                waiting.extend(node.all_input_nodes)
        graph, copies = fx.Graph(), {}
        for node in self.traced.graph.nodes:
            if node in needed or node.op == "placeholder":
                copies[node] = graph.node_copy(node, copies.__getitem__)
        graph.output({name: copies[node] for name, node in values.items()})
        return fx.GraphModule(self.traced, graph)

    # ---- values

    def as_maps(self, value: Tensor, node: fx.Node) -> Tensor:
        """Return the channels' maps (n, P, M, N) in a value, which can be flat."""
        carried = self._carried(node)
        value = value if carried.dim == 1 else value.movedim(carried.dim, 1)
        if not carried.in_order(self.channels):
            order = np.argsort(carried.numbers, kind="stable")[(carried.numbers < 0).sum() :]
            value = value.index_select(1, torch.from_numpy(order).to(value.device))
        if value.ndim == 4:
            return value
        maps = value.reshape(len(value), self.channels, -1)
        shape = self.map_shape if maps.shape[2] == math.prod(self.map_shape) else (1, maps.shape[2])
        return maps.reshape(*maps.shape[:2], *shape)

    def _maps_in(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            point: torch.cat([self.as_maps(values[f"{point} {i}"], node) for i, node in enumerate(nodes)])
            if len(nodes) > 1
            else self.as_maps(values[f"{point} 0"], nodes[0])
            for point, nodes in self._points.items()
        }

    @functools.cached_property
    def _maps_before(self) -> fx.GraphModule:
        return self._before(_all_numbered(self._points))

    def maps(self, inputs: Tensor) -> dict[str, Tensor]:
        """Return the maps (n, P, M, N) at each of POINTS for inputs (n, C, S, S).

        Behind several branches, n is the number of inputs times that of branches.
        """
        return self._maps_in(self._maps_before(inputs))

    @functools.cached_property
    def _crossing_before(self) -> fx.GraphModule:
        return self._before(_numbered("crossing", self.rest.crossing))

    def crossing(self, inputs: Tensor) -> list[Tensor]:
        """Return the crossing values of the rest of the network for inputs (n, C, S, S)."""
        return list(self._crossing_before(inputs).values())

    @functools.cached_property
    def _all_before(self) -> fx.GraphModule:
        given = [reading.given for reading in self.rest.readings]
        return self._before(_all_numbered(self._points | {"crossing": self.rest.crossing, "given": given}))

    def measure(self, inputs: Tensor) -> Measured:
        """Run the network over inputs (n, C, S, S) and return the maps, the crossing values and what is read."""
        values = self._all_before(inputs)
        parts = {kind: [v for name, v in values.items() if name.startswith(kind)] for kind in ("crossing", "given")}
        read = torch.cat([value.flatten(1) for value in parts["given"]], 1)
        return Measured(self._maps_in(values), parts["crossing"], read)

    @torch.no_grad()
    def map_size(self) -> tuple[int, int]:
        """Return the height and width of a channel's map after the activation."""
        return tuple(self.maps(self.example())["relu"].shape[2:])

    @torch.no_grad()
    def zero_filter(self) -> Tensor:
        """Return what all readings are given, (E,), if the weights of all filters of the channels are zero.

        It is the same for any input, for the entries that belong to the channels, unless `zero_filter_varies`.
        """
        return self._read_without_filters(self.example(), np.arange(self.channels))[0]

    @torch.no_grad()
    def zero_filter_varies(self) -> bool:
        """Return whether what a zero filter leaves depends on the input: a mask for all channels scales it, too."""
        images = torch.randn(2, *self.input_shape, generator=torch.Generator().manual_seed(0)).to(self.example().device)
        expected = self.zero_filter()
        # A mask can also be computed from the channels that are left.
        for channels in (np.arange(self.channels), np.arange(0, self.channels, 2)):
            own = np.concatenate([self._entries_of(reading, channels) for reading in self.rest.readings])
            for given in self._read_without_filters(images, channels):
                if not torch.allclose(given[own], expected[own], rtol=1e-3, atol=1e-5):
                    return True
        return False

    def _read_without_filters(self, inputs: Tensor, channels: np.ndarray) -> Tensor:
        """Return what all readings are given, (n, E), if the weights of the filters of these channels are zero."""
        zeroed = copy.deepcopy(self._before(_numbered("given", [reading.given for reading in self.rest.readings])))
        for path, numbers in self.group.makers.items():
            zeroed.get_submodule(path).weight[torch.from_numpy(np.isin(numbers, channels))] = 0
        return torch.cat([value.flatten(1) for value in zeroed(inputs).values()], 1)

    def _entries_of(self, reading: Reading, channels: np.ndarray) -> np.ndarray:
        """Return the places of all entries of these channels in what a reading is given, among all readings."""
        places = np.arange(reading.place.start, reading.place.stop).reshape(reading.shape)
        return np.take(places, reading.carried.entries(channels), reading.carried.dim - 1).flatten()

    @torch.no_grad()
    def require_smaller(self, values: Mapping[fx.Node, object] | None = None) -> None:
        """Raise StudyError unless the smaller network gives the logits of zeros where the channels are read.

        It would not if the network computes with the number of channels: `x / x.size(1)`. To check this once per layer
        is enough: describe_layer does, and all evaluations need its file.

        values: the result of `values_of`, if it is known; it is the same for all layers of a network.
        """
        self._require_inputs_first()
        values = values or values_of(self.traced, self.input_shape)
        crossing = [values[node] for node in self.rest.crossing]
        for kept in (range(0, self.channels, 2), [self.channels - 1]):
            expected = self.rest.masked(crossing, np.setdiff1d(np.arange(self.channels), kept))
            try:
                cut = run_smaller(self.traced, self.group, np.asarray(kept), values)
            # The network's code can raise anything.
            except Exception as error:
                cause = error.__cause__ or error
                raise self._refuse(f"without some of its channels the network fails ({one_line(cause)})") from error
            if not torch.allclose(cut, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()), equal_nan=True):
                raise self._refuse("the network computes with the number of channels, so fewer give other results")

    def _require_inputs_first(self) -> None:
        """Raise StudyError if a value that is stored or measured has not one entry per input."""
        images = torch.randn(3, *self.input_shape, generator=torch.Generator().manual_seed(0)).to(self.example().device)
        together, alone = self._all_before(images), self._all_before(images[:1])
        for name, value in together.items():
            stored = not name.startswith("crossing") or self.rest.storable()
            if stored and not _is_of_inputs(value, alone[name]):
                raise self._refuse("a value that its channels pass through has not one entry per input")

    # ---- weights

    def weights(self) -> np.ndarray:
        """Return all weights that compute the channels, one row (P, ·) per channel, of all makers side by side."""
        sides = []
        for path, numbers in self.group.makers.items():
            weight = self.traced.get_submodule(path).weight.detach().cpu().flatten(1).numpy()
            order = np.argsort(numbers, kind="stable")[(numbers < 0).sum() :]
            # Most layers compute each channel once. Another may compute some of them only, whose rows are then zero.
            counts = np.bincount(numbers[order], minlength=self.channels)
            places = np.concatenate([np.arange(count) for count in counts])
            side = np.zeros((self.channels, counts.max(), weight.shape[1]), np.float32)
            side[numbers[order], places] = weight[order]
            sides.append(side.reshape(self.channels, -1))
        return np.concatenate(sides, 1)

    def scale(self) -> np.ndarray | None:
        """Return the scale γ (P,) of the batch normalisation of the channels; the sum of |γ| if there are several.

        None if there is no batch normalisation. One of flattened maps has a γ per position, so it is no scale of a
        channel.
        """
        scales = []
        for path, numbers in self.group.followers.items():
            module = self.traced.get_submodule(path)
            own = np.flatnonzero(numbers >= 0)
            once = len(set(numbers[own])) == len(own)
            if isinstance(module, NORMS) and module.weight is not None and once:
                scales.append(np.zeros(self.channels, np.float32))
                scales[-1][numbers[own]] = module.weight.detach().cpu().numpy()[own]
        return None if not scales else scales[0] if len(scales) == 1 else np.abs(scales).sum(0)

    def example(self) -> Tensor:
        """Return one input (1, C, S, S) of zeros."""
        return example_of(self.traced, self.input_shape)

    def smaller(self, kept: Sequence[int]) -> fx.GraphModule:
        """Return a copy of the network that has only these channels of the layer (sorted numbers)."""
        return smaller(self.traced, self.group, np.asarray(kept, np.int64))


def _all_numbered(nodes: Mapping[str, Sequence[fx.Node]]) -> dict[str, fx.Node]:
    return {f"{kind} {place}": node for kind, each in nodes.items() for place, node in enumerate(each)}


def _numbered(kind: str, nodes: Sequence[fx.Node]) -> dict[str, fx.Node]:
    return _all_numbered({kind: nodes})


def _is_of_inputs(together: Tensor, alone: Tensor) -> bool:
    """Return whether a value for three inputs has an entry for each, and the first is that for this input alone."""
    if len(together) != 3 or len(alone) != 1:
        return False
    # Networks can amplify rounding.
    allowed = 0.1 * (together[1] - together[0]).abs().max() + 1e-3 * together.abs().max()
    return bool((together[0] - alone[0]).abs().max() <= allowed)


@torch.no_grad()
def values_of(traced: fx.GraphModule, input_shape: Sequence[int]) -> dict[fx.Node, object]:
    """Return the value of each operation of a network for two random inputs."""
    images = torch.randn(2, *input_shape, generator=torch.Generator().manual_seed(0))
    interpreter = fx.Interpreter(traced, garbage_collect_values=False)
    interpreter.run(images.to(example_of(traced, input_shape).device))
    return interpreter.env


def example_of(model: nn.Module, input_shape: Sequence[int]) -> Tensor:
    """Return one input (1, C, S, S) of zeros on the device of a network."""
    parameter = next(model.parameters(), torch.zeros(0))
    return torch.zeros(1, *input_shape, device=parameter.device)


def layer_nodes(traced: fx.GraphModule) -> dict[str, fx.Node]:
    """Return the first call of each Conv2d and Linear, by module path and in the order of the network."""
    nodes: dict[str, fx.Node] = {}
    for node in traced.graph.nodes:
        if _is_layer(traced, node):
            nodes.setdefault(node.target, node)
    return nodes


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
            raise NotPrunable(path, labels.refusal(path))
        raise StudyError(
            f"layer: {path} is a {own.__name__}, not a Conv2d or Linear; allowed: last, {', '.join(layers)}"
        )
    near = difflib.get_close_matches(path, layers, n=3) or layers
    raise StudyError(f"layer: {path} is not in the network; nearest: {', '.join(near)}")


def _is_layer(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Return whether a node calls a Conv2d or Linear with one input."""
    if node.op != "call_module" or len(node.all_input_nodes) != 1:
        return False
    return isinstance(traced.get_submodule(node.target), nn.Conv2d | nn.Linear)
