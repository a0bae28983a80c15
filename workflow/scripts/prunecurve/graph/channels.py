"""Which channels of a network can only be removed together, and which layers read them.

An input runs through the graph of the network, and every element of every value carries a label: the channel that it
belongs to. Conv2d and Linear read the labels of their inputs and give their outputs new ones. What any other operation
does with channels is probed (probing.py): it moves elements, and their labels with them, or it works on each channel
alone, or it mixes channels. Labels that meet in one element are united: these channels can only be removed together.

Labels that reach the output of the network, or an operation that mixes channels, are frozen: these channels cannot be
removed, and the operation is the reason.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from prunecurve.graph.cutting import cuttable, per_channel
from prunecurve.graph.groups import ChannelAxis, Group
from prunecurve.graph.label_tensors import distinct, tensors, varies, varying_dims
from prunecurve.graph.operations import ELEMENTWISE, ELEMENTWISE_MODULES, calls, in_words, runs_as
from prunecurve.graph.probing import Mixed, Probe

INPUT = "its channels can only be removed together with those of the network's input"
OUTPUT = "its channels reach the output of the network"
TOGETHER = "several of its channels can only be removed together"
NOT_RUN = "the network does not run it as a layer in evaluation mode"
DIVIDES = "divides its channels or fixes their number; flatten(1) does not"


class Channels(fx.Interpreter):
    """The labels of all channels of a network in evaluation mode."""

    def __init__(self, traced: fx.GraphModule, example: Tensor) -> None:
        """Find the labels in a network's graph with two inputs (2, C, S, S).

        With two, labels that differ between them would show an operation that mixes inputs.
        """
        super().__init__(traced, garbage_collect_values=False)
        self._makers: dict[str, Tensor] = {}
        self._followers: dict[str, Tensor] = {}
        self._readers: dict[str, Tensor] = {}
        self._parameters: dict[str, Tensor] = {}
        self._parents: list[int] = []
        self._reasons: dict[int, str] = {}
        self._ties: dict[int, str] = {}
        # Of results in which channels are mixed.
        self._mixed: set[int] = set()
        # Why modules have no channels that can be removed.
        self._refused: dict[str, str] = {}
        self._on_constants: set[str] = set()
        self._labels: dict[fx.Node, Any] = {}
        self._dependent: set[fx.Node] = set()
        with torch.no_grad():
            self.run(example)
        self.env.clear()
        self._freeze_shared()
        self._roots = np.array([self.root(label) for label in range(len(self._parents))], np.int64)
        # The first reason counts.
        self._frozen = {self._roots[label]: reason for label, reason in reversed(self._reasons.items())}
        self._tied = {self._roots[label]: reason for label, reason in reversed(self._ties.items())}

    # ---- results

    def refusal(self, path: str) -> str | None:
        """Return why the channels of a Conv2d or Linear cannot be removed one by one; None if they can."""
        if path not in self._makers:
            if path in self._followers:
                return self._refusal_of_follower(path)
            inside = next((node.target for node in self.module.graph.nodes if _is_inside(path, node)), None)
            why = f"it lies inside {inside}, which torch.fx does not look into" if inside else NOT_RUN
            return self._refused.get(path, why)
        roots = self._roots[self._makers[path].numpy()]
        reasons = [self._frozen[root] for root in roots if root in self._frozen]
        if reasons:
            return reasons[0]
        if len(set(roots)) < len(roots):
            return next((self._tied[root] for root in roots if root in self._tied), TOGETHER)
        return None if self.group(path).readers else "no Conv2d or Linear reads its channels"

    def _refusal_of_follower(self, path: str) -> str:
        """Return why the channels of a depthwise convolution cannot be removed from it alone."""
        own = set(self._roots[self._followers[path].numpy()])
        makers = [name for name, labels in self._makers.items() if own & set(self._roots[labels.numpy()])]
        if reasons := [self._frozen[root] for root in own if root in self._frozen]:
            return reasons[0]
        return f"it is depthwise; its channels are those of {', '.join(makers)} and are pruned with them"

    def group(self, path: str) -> Group:
        """Return the group of a layer that is not refused."""
        number = self._number(path)

        def entries(labelled: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
            numbers = {name: number[self._roots[labels.numpy()]] for name, labels in labelled.items()}
            return {name: each for name, each in numbers.items() if (each >= 0).any()}

        parts = map(entries, (self._makers, self._followers, self._readers, self._parameters))
        return Group(len(self._makers[path]), *parts)

    def numbers(self, path: str, node: fx.Node) -> np.ndarray:
        """Return the number of the layer's channel that each element of a value belongs to, −1 for none.

        The array has the shape of the value for one input.
        """
        return self._number(path)[self._roots[self._labels[node][0].numpy()]]

    def axis_in(self, path: str, node: fx.Node) -> ChannelAxis | None:
        """Return where the channels of a layer lie in a value; None if there are none in it.

        Raises ValueError if they lie along several dimensions.
        """
        if not isinstance(self._labels[node], Tensor) or node not in self._dependent:
            return None
        numbers = self.numbers(path, node)
        if (numbers < 0).all():
            return None
        dims = [dim for dim in range(numbers.ndim) if (numbers != np.take(numbers, [0], dim)).any()]
        if len(dims) > 1:
            raise ValueError(f"its channels lie along several dimensions of {node.name}")
        dim = dims[0] if dims else 0
        others = tuple(0 if other != dim else slice(None) for other in range(numbers.ndim))
        return ChannelAxis(dim + 1, numbers[others])

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
        """Unite the labels of two tensors of the same shape, element by element."""
        for dim in range(one.ndim):
            # Most labels are one number for all positions of a map.
            if one.stride(dim) == other.stride(dim) == 0:
                one, other = one.narrow(dim, 0, 1), other.narrow(dim, 0, 1)
        count = len(self._parents)
        for pair in (one * count + other).unique().tolist():
            self._parents[self.root(pair // count)] = self.root(pair % count)

    def _freeze(self, labels: object, reason: str) -> None:
        for tensor in tensors(labels):
            for label in distinct(tensor):
                self._reasons.setdefault(label, reason)

    def _freeze_shared(self) -> None:
        """Freeze the channels of modules whose parameters are also read differently, or that run on a constant."""
        used = {node.target: self.fetch_attr(node.target) for node in self.module.graph.nodes if node.op == "get_attr"}
        owners: dict[int, list[str]] = {}
        for path, module in self.module.named_modules():
            for each in module.parameters(recurse=False):
                owners.setdefault(id(each), []).append(path)
        for path in dict.fromkeys((*self._makers, *self._followers, *self._readers)):
            module = self.module.get_submodule(path)
            own = {id(each) for each in (*module.parameters(recurse=False), *module.buffers(recurse=False))}
            reason = f"{path} also runs on a constant" if path in self._on_constants else None
            if len(shared := sorted({path, *(other for each in own for other in owners.get(each, []))})) > 1:
                reason = f"{' and '.join(shared)} share weights"
            reason = next((f"the network also reads {name} directly" for name in used if id(used[name]) in own), reason)
            if reason:
                for labels in (self._makers, self._followers, self._readers):
                    self._freeze(labels.get(path), reason)

    def _along(self, labels: Tensor, dim: int, what: str) -> Tensor:
        """Unite all labels at each index of the dimension that an operation works on; return one label per index."""
        first = labels
        for other in range(labels.ndim):
            if other != dim % labels.ndim:
                first = first.narrow(other, 0, 1)
        if not torch.equal(labels, first.expand(labels.shape)):
            self._unite(labels, first.expand(labels.shape))
            self._ties.setdefault(int(first.flatten()[0]), f"{what} works on positions of the maps and not on channels")
        return first.flatten()

    # ---- one operation

    def run_node(self, node: fx.Node) -> object:
        """Run an operation and find the labels of its result."""
        value = self.env[node] = super().run_node(node)
        self._labels[node] = self._labelled(node, value)
        return value

    def _labelled(self, node: fx.Node, value: Any) -> Any:
        """Return labels in the shape of a value: a tensor, or a tuple of them. None for numbers and constants."""
        if node.op == "placeholder":
            self._dependent.add(node)
            return _spread(self._new(value.shape[1], INPUT), value.shape)
        if node.op == "get_attr":
            return self._attribute(node, value)
        operands = [each for each in node.all_input_nodes if any(True for _ in tensors(self._labels[each]))]
        if node.op == "output":
            self._freeze([self._labels[each] for each in operands], OUTPUT)
            return None
        depends = any(each in self._dependent for each in operands)
        if node.op == "call_module" and not depends:
            self._on_constants.add(node.target)
        if not operands or not any(True for _ in tensors(value)):
            if depends and not _is_number(value):
                what = f"{in_words(self.module, node)} returns a {type(value).__name__}, which is not looked into"
                self._freeze([self._labels[each] for each in operands], what)
            return None
        if depends:
            self._dependent.add(node)
        try:
            return self._rule(node, operands, value)
        except Mixed as error:
            # Behind an operation that mixes channels, it is the cause.
            labels = {label for each in operands for one in tensors(self._labels[each]) for label in distinct(one)}
            cause = next((self._reasons[label] for label in sorted(labels & self._mixed)), str(error))
            return self._frozen_result(operands, value, cause)

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
            return self._labels[operands[0]]
        probe = Probe(node, what, operands, self, self._labels, self.root, self._dependent)
        labels = probe.moved()
        if labels is None:
            labels = self._united_channels(probe)
            probe.require_without(labels, "computes with the number of channels, or has a constant for each of them")
        else:
            probe.require_without(labels, DIVIDES)
            if node in self._dependent and any(varies(each, 0) for each in tensors(labels)):
                raise Mixed(f"{what} {DIVIDES}")
        return labels

    def _frozen_result(self, operands: list[fx.Node], value: object, reason: str) -> object:
        """Freeze what an operation reads and what it gives."""
        self._freeze([self._labels[each] for each in operands], reason)
        label = self._new(1, reason)[0]
        self._mixed.add(int(label))
        return fx.node.map_aggregate(value, lambda each: label.expand(each.shape) if isinstance(each, Tensor) else None)

    def _layer(self, node: fx.Node, module: nn.Conv2d | nn.Linear, value: Any, what: str) -> Tensor:
        """Return the labels of the output of a layer, which reads channels and computes others."""
        if len(node.args) != 1 or not isinstance(value, Tensor):
            self._refused[node.target] = "it must be called with one input, as layer(x), and return one tensor"
        elif getattr(module, "groups", 1) > 1:
            self._refused[node.target] = "it is a grouped convolution"
        if node.target in self._refused:
            raise Mixed(f"{what}: {self._refused[node.target]}")
        labels = self._labels[node.all_input_nodes[0]]
        dim = -1 if isinstance(module, nn.Linear) else 1
        read = self._along(labels, dim, what)
        self._unite(read, self._readers.setdefault(node.target, read))
        if node.target not in self._makers:
            self._makers[node.target] = self._new(len(module.weight))
            if not runs_as(module, (nn.Conv2d, nn.Linear)):
                self._check(module, node.target, labels.shape, what)
        computed = self._makers[node.target]
        return computed.expand(value.shape) if dim == -1 else _spread(computed, value.shape)

    def _check(self, module: nn.Conv2d | nn.Linear, path: str, shape: tuple[int, ...], what: str) -> None:
        """Freeze the channels that a layer of a class of the user reads or computes, unless its weights are all."""
        inputs, outputs = cuttable(module, shape)
        if not inputs:
            self._freeze(self._readers[path], f"{what} is not linear in each of its inputs alone")
        if not outputs:
            self._freeze(self._makers[path], f"{what} computes its channels together")

    def _united_channels(self, probe: Probe) -> object:
        """Unite the labels of operands that meet in a channel of the result; return the labels of the result."""
        for each in probe.operands:
            if each not in probe.channels:
                self._join_mixed(each, probe)
        aligned = {each: iter(probe.aligned(each)) for each in probe.operands}
        self._follow(probe)

        def united(result: Tensor) -> Tensor:
            labels = {each: label for each in probe.operands if (label := next(aligned[each])) is not None}
            channels = [each for each in probe.channels if each in labels]
            if not channels:
                raise Mixed(f"{probe.what} is an unknown operation: not all of its results change with its inputs")
            dims = {dim for each in channels for dim, size in enumerate(labels[each].shape) if size > 1}
            whole = {each for each in labels if all(labels[each].shape[dim] > 1 for dim in dims)}
            if whole.isdisjoint(channels):
                raise Mixed(f"{probe.what} mixes channels")
            first = next(labels[each] for each in channels if each in whole)
            for each in labels:
                if each in whole:
                    self._unite(*torch.broadcast_tensors(first, labels[each]))
                elif each in channels:
                    self._freeze(labels[each], f"{probe.what} applies it to several different channels")
            return first.expand(result.shape)

        return fx.node.map_aggregate(probe.result, lambda each: united(each) if isinstance(each, Tensor) else None)

    def _join_mixed(self, node: fx.Node, probe: Probe) -> None:
        """Unite the labels of a parameter along dimensions that all channels use, such as the positions of a filter."""
        for dim in varying_dims(self._labels[node]):
            if not probe.follows(node, dim):
                labels = self._labels[node]
                first = labels.narrow(dim, 0, 1).expand(labels.shape)
                self._unite(labels, first)
                self._labels[node] = first

    def _follow(self, probe: Probe) -> None:
        """Note a module with parameters for each channel that it reads."""
        if probe.node.op != "call_module":
            return
        labels = self._labels[probe.operands[0]]
        dim = next(iter(varying_dims(labels)), 1)
        if any(True for _ in per_channel(self.module.get_submodule(probe.node.target), labels.shape[dim])):
            channels = self._along(labels, dim, probe.what)
            probe.followed = self._followers.setdefault(probe.node.target, channels)
            self._unite(channels, probe.followed)


def _is_inside(path: str, node: fx.Node) -> bool:
    return node.op == "call_module" and path.startswith(f"{node.target}.")


def _spread(channels: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return labels (C,) in the shape (n, C, …) of a value."""
    return channels.reshape(1, -1, *[1] * (len(shape) - 2)).expand(shape)


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
