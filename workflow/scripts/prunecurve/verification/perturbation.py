"""Which entries of a network's layers belong to the channels of one of them, found by changing the channels.

This verifies removals in networks that Torch-Pruning cannot follow. It runs the network itself, not its graph, and uses
nothing of the analysis that the sweep rests on (graph/channels.py).
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

# Copies of the input in one pass, each with a different channel changed.
AT_ONCE = 64
# A change is seen from this share of the largest value on.
SEEN = 1e-4


class Entries(NamedTuple):
    """Entries of a layer: its outputs or, if it `reads` the channels, its inputs, by number."""

    path: str
    reads: bool
    numbers: list[int]


class Perturbation:
    """The entries of all layers that can only be removed with the channels of one layer.

    All other layers compute what they compute without a change, so that a change is seen only in what reads the
    channels themselves. A layer whose outputs arrive at the same entries computes the same channels.
    """

    def __init__(
        self, model: nn.Module, layer: str, example: Tensor, cache: dict[str, list[set[tuple[str, int]]]] | None = None
    ) -> None:
        """Change each channel of a layer, given by its module path.

        example: one input (1, C, S, S). cache: of this network, what the channels of each layer reach; entries are
        added to it.
        """
        self._cache = {} if cache is None else cache
        self._model = copy.deepcopy(model).eval()
        self._layers = {path: module for path, module in self._model.named_modules() if _is_layer(module)}
        self._paths = {module: path for path, module in self._layers.items()}
        self._calls: list[tuple[nn.Module, Tensor, Tensor]] = []
        self._example = torch.randn(example.shape, generator=torch.Generator().manual_seed(0))
        self._record()
        self.layer, count = layer, len(self._layers[layer].weight)
        # For each channel, the inputs that it reaches, and the outputs of other layers that reach them too.
        self._inputs = self._reached(layer)
        self._outputs: list[set[tuple[str, int]]] = [{(layer, channel)} for channel in range(count)]
        while self._extend():
            pass

    def items(self, removed: Iterable[int]) -> list[Entries]:
        """Return all entries that belong to some of the channels (numbers), by layer."""
        result = []
        for reads, parts in ((False, self._outputs), (True, self._inputs)):
            numbers: dict[str, list[int]] = {}
            for path, number in sorted(set().union(*(parts[channel] for channel in removed))):
                numbers.setdefault(path, []).append(number)
            result += [Entries(path, reads, each) for path, each in numbers.items()]
        return result

    def _extend(self) -> bool:
        """Add other layers that compute the channels; return whether there were any."""
        inputs, before = set().union(*self._inputs), sum(map(len, self._outputs))
        for path in self._layers:
            if path == self.layer or inputs.isdisjoint(set().union(*self._reached(path, together=True))):
                continue
            for number, reached in enumerate(self._reached(path)):
                met = [channel for channel, own in enumerate(self._inputs) if not own.isdisjoint(reached)]
                # One that meets several, such as a mask for all channels, belongs to none of them.
                if len(met) == 1:
                    self._outputs[met[0]].add((path, number))
                    self._inputs[met[0]] |= reached
        return sum(map(len, self._outputs)) > before

    def _reached(self, path: str, *, together: bool = False) -> list[set[tuple[str, int]]]:
        """Return the inputs that each channel of a layer reaches: path and number; or all its channels together."""
        if not together and path in self._cache:
            return [set(each) for each in self._cache[path]]
        count = len(self._layers[path].weight)
        sets = [list(range(count))] if together else [[channel] for channel in range(count)]
        reached: list[set[tuple[str, int]]] = []
        for start in range(0, len(sets), AT_ONCE):
            some = sets[start : start + AT_ONCE]
            # What an activation does not pass on in one direction, it does in the other.
            up, down = (self._changed(path, some, sign) for sign in (1, -1))
            reached += [one | other for one, other in zip(up, down)]
        if not together:
            self._cache[path] = [set(each) for each in reached]
        return reached

    @torch.inference_mode()
    def _record(self) -> None:
        """Record what each layer reads and computes, call by call."""

        def record(module: nn.Module, read: tuple[Tensor], output: Tensor) -> None:
            self._calls.append((module, read[0], output))

        with _hooks(self._layers.values(), record):
            self._model(self._example)

    @torch.inference_mode()
    def _changed(self, path: str, sets: Sequence[Sequence[int]], sign: int) -> list[set[tuple[str, int]]]:
        """Return the inputs that change with each of these sets of channels: path and number."""
        source, place = self._layers[path], 0
        changed: list[set[tuple[str, int]]] = [set() for _ in sets]

        def replace(module: nn.Module, read: tuple[Tensor], output: Tensor) -> Tensor:
            nonlocal place
            _, read_before, output_before = self._calls[place]
            place += 1
            for own, numbers in zip(changed, _different(module, read[0], read_before)):
                own.update((self._paths[module], number) for number in numbers)
            result = output_before.expand(len(sets), *output_before.shape[1:]).clone()
            if module is source:
                # Not the same everywhere, which a normalisation of each map would undo.
                change = torch.rand(output_before.shape, generator=torch.Generator().manual_seed(1))
                change, channels = change.movedim(_dim(module), 1), result.movedim(_dim(module), 1)
                size = sign * (1 + 10 * output_before.abs().max())
                for each, own in enumerate(sets):
                    channels[each, own] += size * change[0, own]
            return result

        with _hooks(self._layers.values(), replace):
            self._model(self._example.expand(len(sets), *self._example.shape[1:]))
        return changed


@contextmanager
def _hooks(modules: Iterable[nn.Module], hook: Callable) -> Iterator[None]:
    """Let modules have a hook."""
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _is_layer(module: nn.Module) -> bool:
    """Return whether a module computes channels from others. A depthwise convolution passes each on."""
    return isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)


def _dim(module: nn.Module) -> int:
    return 1 if isinstance(module, nn.Conv2d) else -1


def _different(module: nn.Module, read: Tensor, before: Tensor) -> Iterator[list[int]]:
    """Yield, for each copy, the inputs of a layer that differ from those without a change."""
    differs = (read - before).abs() > SEEN * (before.abs().max() + 1e-9)
    # A linear layer can read several positions.
    for each in differs.movedim(_dim(module), 1):
        yield np.flatnonzero(each.flatten(1).any(1).numpy() if each.ndim > 1 else each.numpy()).tolist()
