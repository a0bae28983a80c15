"""Which channels of a network can only be removed together, and which layers read them.

An input runs through the graph of the network, and every element of every value carries a label: the channel that it
belongs to. Conv2d and Linear read the labels of their inputs and give their outputs new ones. What any other operation
does with channels is probed (probing.py): it moves elements, and their labels with them, or it works on each channel
alone, or it mixes channels. Labels that meet in one element are united: these channels can only be removed together.

Labels that reach the output of the network, or an operation that mixes channels, are frozen: these channels cannot be
removed, and the operation is the reason.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from prunecurve.graph.nodes import example_of, shape_of
from prunecurve.graph.operations import ELEMENTWISE, ELEMENTWISE_MODULES, calls, in_words, runs_as
from prunecurve.graph.probing import Mixed, Probe, distinct, mapped, tensors, varying_dims
from prunecurve.graph.pruning import ChannelAxis, Group, cuttable, per_channel
from prunecurve.graph.tracing import traced_network

INPUT = "its channels can only be removed together with those of the network's input"
OUTPUT = "its channels reach the output of the network"
TOGETHER = "several of its channels can only be removed together"
NOT_RUN = "the network does not run it as a layer in evaluation mode"
DIVIDES = "divides its channels or fixes their number; flatten(1) does not"


class Channels(fx.Interpreter):
    """The labels of all channels of a network in evaluation mode.

    module: the network's graph. classes: the number of its logits. labels: of the value of each operation, None for
    numbers and constants. dependent: the nodes that depend on the network's input.
    """

    module: fx.GraphModule

    def __init__(self, model: nn.Module, input_shape: Sequence[int], leaf_modules: Sequence[str] = ()) -> None:
        """Find the labels in a network that reads inputs of this shape (C, S, S).

        leaf_modules: see `traced_network`. Raises StudyError if the network cannot be traced.
        """
        super().__init__(traced_network(model, input_shape, leaf_modules), garbage_collect_values=False)
        self.classes = shape_of(self.module.graph.output_node().args[0])[1]
        self.labels: dict[fx.Node, Any] = {}
        self.dependent: set[fx.Node] = set()
        self._makers: dict[str, Tensor] = {}
        self._followers: dict[str, Tensor] = {}
        self._readers: dict[str, Tensor] = {}
        self._parameters: dict[str, Tensor] = {}
        # By label: one that it is united with, why it is frozen, and why it is united with others of its layer.
        self._parents: list[int] = []
        self._reasons: dict[int, str] = {}
        self._ties: dict[int, str] = {}
        # Of results in which channels are mixed.
        self._mixed: set[int] = set()
        # Why modules have no channels that can be removed.
        self._refused: dict[str, str] = {}
        self._on_constants: set[str] = set()
        with torch.no_grad():
            # With two inputs, labels that differ between them show an operation that mixes inputs.
            self.run(example_of(self.module, input_shape).repeat(2, 1, 1, 1))
        self.env.clear()
        self._freeze_shared()
        self._roots = np.array([self.root(label) for label in range(len(self._parents))], np.int64)
        # The first reason counts.
        self._frozen = {self._roots[label]: reason for label, reason in reversed(self._reasons.items())}
        self._tied = {self._roots[label]: reason for label, reason in reversed(self._ties.items())}

    # ---- results

    def refusal(self, path: str) -> str | None:
        """Return why the channels of a Conv2d or Linear cannot be removed one by one; None if they can."""
        if path not in self._makers and path not in self._followers:
            modules = [node.target for node in self.module.graph.nodes if node.op == "call_module"]
            inside = next((name for name in modules if path.startswith(f"{name}.")), None)
            why = f"it lies inside {inside}, which torch.fx does not look into" if inside else NOT_RUN
            return self._refused.get(path, why)
        roots = self._roots[{**self._followers, **self._makers}[path].numpy()]
        if reasons := [self._frozen[root] for root in roots if root in self._frozen]:
            return reasons[0]
        if path in self._followers:
            makers = [name for name, labels in self._makers.items() if np.isin(roots, self._roots[labels]).any()]
            return f"it is depthwise; its channels are those of {', '.join(makers)} and are pruned with them"
        if len(set(roots)) < len(roots):
            return next((self._tied[root] for root in roots if root in self._tied), TOGETHER)
        return None if self.group(path).readers else "no Conv2d or Linear reads its channels"

    def group(self, path: str) -> Group:
        """Return the group of a layer that is not refused."""
        number = self._number(path)

        def entries(labelled: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
            numbers = {name: number[self._roots[labels.numpy()]] for name, labels in labelled.items()}
            return {name: each for name, each in numbers.items() if (each >= 0).any()}

        parts = map(entries, (self._makers, self._followers, self._readers, self._parameters))
        return Group(len(self._makers[path]), *parts)

    def axis_in(self, path: str, node: fx.Node) -> ChannelAxis | None:
        """Return where the channels of a layer lie in a value; None if there are none in it.

        Raises ValueError if they lie along several dimensions.
        """
        if not isinstance(self.labels[node], Tensor) or node not in self.dependent:
            return None
        numbers = self._number(path)[self._roots[self.labels[node][0].numpy()]]
        if (numbers < 0).all():
            return None
        dims = [dim for dim in range(numbers.ndim) if (numbers != np.take(numbers, [0], dim)).any()]
        if len(dims) > 1:
            raise ValueError(f"its channels lie along several dimensions of {node.name}")
        dim = dims[0] if dims else 0
        along = numbers[tuple(slice(None) if each == dim else 0 for each in range(numbers.ndim))]
        return ChannelAxis(dim + 1, np.resize(along, shape_of(node)[dim + 1]))

    def _number(self, path: str) -> np.ndarray:
        """Return, for each root of labels, the number of the layer's channel; −1 for none."""
        number = np.full(len(self._parents), -1)
        number[self._roots[self._makers[path].numpy()]] = np.arange(len(self._makers[path]))
        return number

    # ---- labels

    def _new(self, count: int, reason: str | None = None) -> Tensor:
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        labels = torch.arange(first, first + count)
        if reason:
            self._freeze(labels, reason)
        return labels

    def root(self, label: int) -> int:
        """Return the label that represents all labels that are united with this one."""
        while self._parents[label] != label:
            self._parents[label] = self._parents[self._parents[label]]
            label = self._parents[label]
        return label

    def _unite(self, one: Tensor, other: Tensor) -> None:
        """Unite the labels of two values of the same shape, element by element."""
        count = len(self._parents)
        for pair in (one * count + other).unique().tolist():
            self._parents[self.root(pair // count)] = self.root(pair % count)

    def _freeze(self, labels: object, reason: str) -> None:
        for label in distinct(labels):
            self._reasons.setdefault(label, reason)

    def _freeze_shared(self) -> None:
        """Freeze the channels of modules whose parameters are also read differently, or that run on a constant."""
        read = {node.target: self.fetch_attr(node.target) for node in self.module.graph.nodes if node.op == "get_attr"}
        owners: dict[int, list[str]] = {}
        for name, parameter in self.module.named_parameters(remove_duplicate=False):
            owners.setdefault(id(parameter), []).append(name.rpartition(".")[0])
        for path in dict.fromkeys((*self._makers, *self._followers, *self._readers)):
            module = self.module.get_submodule(path)
            own = {id(each) for each in (*module.parameters(recurse=False), *module.buffers(recurse=False))}
            reason = f"{path} also runs on a constant" if path in self._on_constants else None
            if len(shared := sorted({path, *(other for each in own for other in owners.get(each, []))})) > 1:
                reason = f"{' and '.join(shared)} share weights"
            reason = next((f"the network also reads {name} directly" for name in read if id(read[name]) in own), reason)
            if reason:
                for labels in (self._makers, self._followers, self._readers):
                    self._freeze(labels.get(path), reason)

    def _along(self, node: fx.Node, dim: int, what: str) -> Tensor:
        """Unite all labels at each index of the dimension that an operation works on; return one label per index."""
        labels = self.labels[node].movedim(dim, 0)
        labels = labels.reshape(len(labels), -1)
        if labels.shape[1] > 1:
            self._unite(labels, labels[:, :1])
            self._ties.setdefault(int(labels[0, 0]), f"{what} works on positions of the maps and not on channels")
        return labels[:, 0].expand(self.env[node].shape[dim])

    # ---- one operation

    def run_node(self, node: fx.Node) -> object:
        """Run an operation and find the labels of its result."""
        value = self.env[node] = super().run_node(node)
        self.labels[node] = self._labelled(node, value)
        return value

    def _labelled(self, node: fx.Node, value: Any) -> Any:
        """Return labels of a value: a tensor, or a tuple of them. None for numbers and constants."""
        if node.op == "placeholder":
            self.dependent.add(node)
            return _spread(self._new(value.shape[1], INPUT), 1, value)
        if node.op == "get_attr":
            return self._attribute(node, value)
        operands = [each for each in node.all_input_nodes if tensors(self.labels[each])]
        if node.op == "output":
            self._freeze([self.labels[each] for each in operands], OUTPUT)
            return None
        depends = not self.dependent.isdisjoint(operands)
        if node.op == "call_module" and not depends:
            self._on_constants.add(node.target)
        if not operands or not tensors(value):
            if depends and not _is_number(value):
                what = f"{in_words(self.module, node)} returns a {type(value).__name__}, which is not looked into"
                self._freeze([self.labels[each] for each in operands], what)
            return None
        if depends:
            self.dependent.add(node)
        try:
            return self._rule(node, operands, value)
        except Mixed as error:
            # Behind an operation that mixes channels, it is the cause.
            mixed = self._mixed & distinct([self.labels[each] for each in operands])
            return self._frozen_result(operands, value, self._reasons[min(mixed)] if mixed else str(error))

    def _attribute(self, node: fx.Node, value: object) -> Tensor | None:
        """Return the labels of a parameter or buffer, whose entries are removed with the channels that they meet."""
        if not isinstance(value, Tensor) or value.numel() < 2 or not value.is_floating_point():
            return None
        if node.target not in self._parameters:
            self._parameters[node.target] = self._new(value.numel()).reshape(value.shape)
        return self._parameters[node.target]

    def _rule(self, node: fx.Node, operands: list[fx.Node], value: object) -> object:
        """Return the labels of an operation's result. Raises Mixed if channels cannot be removed one by one."""
        module = self.module.get_submodule(node.target) if node.op == "call_module" else None
        what = in_words(self.module, node)
        if module is not None and (reason := _changed(module)):
            self._refused[node.target] = reason
            raise Mixed(f"{what}: {reason}")
        if isinstance(module, nn.Conv2d | nn.Linear) and not _depthwise(module):
            return self._layer(node, module, value, what)
        if len(node.all_input_nodes) == 1 and calls(self.module, node, ELEMENTWISE_MODULES, ELEMENTWISE):
            return self.labels[operands[0]]
        probe = Probe(node, what, operands, self)
        labels = probe.moved()
        if labels is None:
            labels = self._united_channels(probe)
            probe.require_without(labels, "computes with the number of channels, or has a constant for each of them")
        else:
            probe.require_without(labels, DIVIDES)
            if node in self.dependent and any(len(each) > 1 for each in tensors(labels)):
                raise Mixed(f"{what} {DIVIDES}")
        return labels

    def _frozen_result(self, operands: list[fx.Node], value: object, reason: str) -> object:
        """Freeze what an operation reads and what it gives."""
        self._freeze([self.labels[each] for each in operands], reason)
        label = self._new(1, reason)
        self._mixed.add(int(label))
        return mapped(lambda each: label.reshape([1] * each.ndim), value)

    def _layer(self, node: fx.Node, module: nn.Conv2d | nn.Linear, value: Any, what: str) -> Tensor:
        """Return the labels of the output of a layer, which reads channels and computes others."""
        if len(node.args) != 1 or not isinstance(value, Tensor):
            self._refused[node.target] = "it must be called with one input, as layer(x), and return one tensor"
        elif getattr(module, "groups", 1) > 1:
            self._refused[node.target] = "it is a grouped convolution"
        if node.target in self._refused:
            raise Mixed(f"{what}: {self._refused[node.target]}")
        dim = -1 if isinstance(module, nn.Linear) else 1
        read = self._along(node.args[0], dim, what)
        self._unite(read, self._readers.setdefault(node.target, read))
        if node.target not in self._makers:
            self._makers[node.target] = self._new(len(module.weight))
            if not runs_as(module, (nn.Conv2d, nn.Linear)):
                inputs, outputs = cuttable(module, self.env[node.args[0]].shape)
                if not inputs:
                    self._freeze(read, f"{what} is not linear in each of its inputs alone")
                if not outputs:
                    self._freeze(self._makers[node.target], f"{what} computes its channels together")
        return _spread(self._makers[node.target], dim, value)

    def _united_channels(self, probe: Probe) -> object:
        """Unite the labels of operands that meet in a channel of the result; return the labels of the result."""
        for each in probe.operands:
            if each not in probe.channels:
                self._join_mixed(each, probe)
        aligned = [probe.aligned(each) for each in probe.operands]
        self._follow(probe)
        united = [self._united(probe, dict(zip(probe.operands, each))) for each in zip(*aligned)]
        return mapped(lambda each, labels: labels, probe.result, united)

    def _united(self, probe: Probe, aligned: Mapping[fx.Node, Tensor | None]) -> Tensor:
        """Unite the labels of operands, with the dimensions of a tensor of the result; return those of the tensor."""
        labels = {each: own for each, own in aligned.items() if own is not None}
        channels = [each for each in probe.channels if each in labels]
        if not channels:
            raise Mixed(f"{probe.what} is an unknown operation: not all of its results change with its inputs")
        dims = {dim for each in channels for dim in varying_dims(labels[each])}
        whole = [each for each in labels if dims.issubset(varying_dims(labels[each]))]
        if not (first := [labels[each] for each in channels if each in whole]):
            raise Mixed(f"{probe.what} mixes channels")
        for each, own in labels.items():
            if each in whole:
                self._unite(first[0], own)
            elif each in channels:
                self._freeze(own, f"{probe.what} applies it to several different channels")
        return first[0]

    def _join_mixed(self, node: fx.Node, probe: Probe) -> None:
        """Unite the labels of a parameter along dimensions that all channels use, such as the positions of a filter."""
        for dim in varying_dims(self.labels[node]):
            if not probe.follows(node, dim):
                first = self.labels[node].narrow(dim, 0, 1)
                self._unite(self.labels[node], first)
                self.labels[node] = first

    def _follow(self, probe: Probe) -> None:
        """Note a module with parameters for each channel that it reads."""
        if probe.node.op != "call_module":
            return
        node = probe.operands[0]
        dim = next(iter(varying_dims(self.labels[node])), 1)
        if any(True for _ in per_channel(self.module.get_submodule(probe.node.target), self.env[node].shape[dim])):
            channels = self._along(node, dim, probe.what)
            probe.followed = self._followers.setdefault(probe.node.target, channels)
            self._unite(channels, probe.followed)


def _spread(channels: Tensor, dim: int, value: Tensor) -> Tensor:
    """Return labels (C,) of the channels along a dimension of a value."""
    return channels.reshape(-1, *[1] * (value.ndim - 1)).movedim(0, dim)


def _is_number(value: object) -> bool:
    """Return whether a value is a number, a size or the like, or nothing."""
    if isinstance(value, list | tuple):
        return all(map(_is_number, value))
    return value is None or isinstance(value, int | float | str | torch.dtype | torch.device | torch.layout)


def _depthwise(module: nn.Module) -> bool:
    """Return whether a module has one filter for each channel. Other groups mix only some of the channels."""
    return isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels == module.out_channels


def _changed(module: nn.Module) -> str | None:
    """Return why a module does not compute what its parameters say; None if it does."""
    if module._forward_hooks or module._forward_pre_hooks:
        return "it has hooks; remove them first (torch.nn.utils.remove_weight_norm, remove_spectral_norm, prune.remove)"
    if parametrize.is_parametrized(module):
        return "it has parametrizations; remove them first (remove_parametrizations)"
    return None
