"""Which entries of a network's layers belong to the channels of one of them, found by changing the channels.

This verifies removals in networks that Torch-Pruning cannot follow. It runs the network itself, not its graph, and uses
nothing of the analysis that the sweep rests on (graph/channels.py).
"""

import copy
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

# Channels that are changed in one pass, each up and down in a copy of the input of its own.
AT_ONCE = 32
# A change is seen from this share of the largest value on.
SEEN = 1e-4


class Entries(NamedTuple):
    """Entries of a layer: its outputs or, if it `reads` the channels, its inputs, by number."""

    path: str
    reads: bool
    numbers: list[int]


# Outputs or inputs of layers: module path and number.
Numbers = set[tuple[str, int]]


class Perturbation:
    """The entries of all layers of a network that can only be removed with channels of one layer.

    All other layers compute what they compute without a change, so that a change is seen only in what reads the
    channels themselves. A layer whose outputs arrive at the same entries computes the same channels.
    """

    @torch.inference_mode()
    def __init__(self, model: nn.Module, example: Tensor) -> None:
        """Run a copy of the network without a change. example: one input (1, C, S, S), of which the shape is used."""
        self._model = copy.deepcopy(model).eval()
        self._layers = {path: module for path, module in self._model.named_modules() if _is_layer(module)}
        self._paths = {module: path for path, module in self._layers.items()}
        self._example = torch.randn(example.shape, generator=torch.Generator().manual_seed(0))
        # What each layer reads and computes, call by call.
        self._calls: list[tuple[Tensor, Tensor]] = []
        # Of each layer that was needed so far: what each of its channels reaches, and the result of `_group`.
        self._by_channel: dict[str, list[Numbers]] = {}
        self._groups: dict[str, tuple[list[Numbers], list[Numbers]]] = {}

        def record(module: nn.Module, read: tuple[Tensor], output: Tensor) -> None:
            if module in self._paths:
                self._calls.append((read[0], output))

        with register_module_forward_hook(record):
            self._model(self._example)

    def items(self, layer: str, removed: Iterable[int]) -> list[Entries]:
        """Return all entries that belong to some channels (numbers) of a layer (module path), by layer."""
        if layer not in self._groups:
            self._groups[layer] = self._group(layer)
        result = []
        for reads, parts in zip((False, True), self._groups[layer]):
            numbers: dict[str, list[int]] = {}
            for path, number in sorted(set().union(*(parts[channel] for channel in removed))):
                numbers.setdefault(path, []).append(number)
            result += [Entries(path, reads, each) for path, each in numbers.items()]
        return result

    def _group(self, layer: str) -> tuple[list[Numbers], list[Numbers]]:
        """Return, for each channel of a layer, the outputs of all layers that compute it, and the inputs they reach."""
        inputs = list(self._reached(layer))
        outputs: list[Numbers] = [{(layer, channel)} for channel in range(len(inputs))]
        before = 0
        while (count := sum(map(len, outputs))) > before:
            before, read = count, set().union(*inputs)
            for path, module in self._layers.items():
                every = [range(len(module.weight))]
                if path == layer or read.isdisjoint(self._changed(path, every)[0]):
                    continue
                for number, reached in enumerate(self._reached(path)):
                    met = [channel for channel, own in enumerate(inputs) if not own.isdisjoint(reached)]
                    # One that meets several, such as a mask for all channels, belongs to none of them.
                    if len(met) == 1:
                        outputs[met[0]].add((path, number))
                        inputs[met[0]] = inputs[met[0]] | reached
        return outputs, inputs

    def _reached(self, path: str) -> list[Numbers]:
        """Return the inputs that each channel of a layer reaches."""
        if path not in self._by_channel:
            sets = [[channel] for channel in range(len(self._layers[path].weight))]
            parts = [sets[start : start + AT_ONCE] for start in range(0, len(sets), AT_ONCE)]
            self._by_channel[path] = [each for part in parts for each in self._changed(path, part)]
        return self._by_channel[path]

    @torch.inference_mode()
    def _changed(self, path: str, sets: Sequence[Sequence[int]]) -> list[Numbers]:
        """Return the inputs of layers that change with each of these sets of channels of a layer."""
        calls, copies = iter(self._calls), 2 * len(sets)
        changed: list[Numbers] = [set() for _ in sets]

        def replace(module: nn.Module, read: tuple[Tensor], output: Tensor) -> Tensor | None:
            if module not in self._paths:
                return None
            read_before, before = next(calls)
            differs = (read[0] - read_before).abs() > SEEN * (read_before.abs().max() + 1e-9)
            # A linear layer can read several positions.
            numbers = differs.movedim(_dim(module), 1).unsqueeze(-1).flatten(2).any(2)
            for each, number in numbers.nonzero().tolist():
                changed[each % len(sets)].add((self._paths[module], number))
            result = before.expand(copies, *before.shape[1:]).clone()
            if module is self._layers[path]:
                # Not the same everywhere, which a normalisation of each map would undo.
                change = torch.rand(before.shape, generator=torch.Generator().manual_seed(1))
                change, channels = change.movedim(_dim(module), 1), result.movedim(_dim(module), 1)
                size = 1 + 10 * before.abs().max()
                for each, own in enumerate(sets):
                    # What an activation does not pass on in one direction, it does in the other.
                    channels[each, own] += size * change[0, own]
                    channels[len(sets) + each, own] -= size * change[0, own]
            return result

        with register_module_forward_hook(replace):
            self._model(self._example.expand(copies, *self._example.shape[1:]))
        return changed


def _is_layer(module: nn.Module) -> bool:
    """Return whether a module computes channels from others. A depthwise convolution passes each on."""
    return isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)


def _dim(module: nn.Module) -> int:
    return 1 if isinstance(module, nn.Conv2d) else -1
