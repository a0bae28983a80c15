"""Whether removals from a layer can be verified, and how: half of its channels are removed, once, in both ways.

A layer is listed as prunable only if the result is the network that the sweep evaluates.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache

import numpy as np
import torch
import torch_pruning
from torch import Tensor, nn

from prunecurve.graph.layers import NotPrunable, PrunableLayer
from prunecurve.graph.nodes import random_inputs, values_of
from prunecurve.graph.pruning import run_pruned
from prunecurve.model.messages import one_line
from prunecurve.verification import PERTURBATION, SURGERY
from prunecurve.verification.perturbation import Perturbation
from prunecurve.verification.surgery import gradients, graph_of, group_of, overwritten, structural

# The largest difference between logits that is accepted, as a share of the effect of the removal, and of the logits.
SHARE, ROUNDING = 0.01, 1e-5


class Confirmation:
    """Tries removals from the layers of one network, with one graph of Torch-Pruning for all of them."""

    def __init__(self, model: nn.Module, input_shape: Sequence[int]) -> None:
        """Prepare a copy of a network that reads inputs (C, S, S)."""
        self._model = copy.deepcopy(model).cpu().eval().requires_grad_()
        # The inputs of `values_of`.
        self._images = random_inputs(self._model, input_shape, 2)
        # Computed once: all layers of a network have the same graph.
        self._values = lru_cache(1)(lambda traced: values_of(traced, input_shape))
        self._unpruned = _logits(self._model, self._images)
        self._perturbation = cache(lambda: Perturbation(self._model, self._images[:1]))
        self._graph = None
        try:
            with gradients():
                self._graph = graph_of(self._model, self._images[:1])
        # The library fails in many ways where it cannot follow a network; each layer then says so.
        except Exception as error:
            self._problem = one_line(error)

    def by(self, layer: PrunableLayer) -> str:
        """Return how removals from a layer are verified: SURGERY by Torch-Pruning, else PERTURBATION.

        Raises NotPrunable if neither gives the logits of the smaller network that the sweep evaluates.
        """
        if layer.channels == 1:
            return SURGERY
        removed, kept = np.arange(0, layer.channels, 2), np.arange(1, layer.channels, 2)
        ours = run_pruned(layer.traced, layer.group, kept, self._values(layer.traced)).detach()
        problem = self._problem if self._graph is None else self._surgery_fails(layer, removed, kept, ours)
        if not problem:
            return SURGERY
        try:
            items = self._perturbation().items(layer.path, removed)
            if self._same(ours, _logits(overwritten(self._model, items), self._images)):
                return PERTURBATION
        # The network's code can raise anything, for inputs that it was not made for.
        except Exception as error:
            problem += f"; perturbation: {one_line(error)}"
        raise NotPrunable(layer.path, f"its removal cannot be verified (Torch-Pruning: {problem})")

    def _same(self, ours: Tensor, theirs: Tensor) -> bool:
        effect, size = (theirs - self._unpruned).abs().max(), theirs.abs().max()
        return bool((ours - theirs).abs().max() <= max(SHARE * effect, ROUNDING * size))

    def _surgery_fails(self, layer: PrunableLayer, removed: np.ndarray, kept: np.ndarray, ours: Tensor) -> str:
        """Return what is wrong with the library's smaller network, empty if nothing is."""
        try:
            with gradients():
                group = group_of(self._graph, self._model, layer.path, removed)
            if any(isinstance(item.dep.target.module, nn.Parameter) for item in group):
                small = structural(self._model, {layer.path: removed}, self._images[:1])
                theirs, size = _logits(small, self._images), _size(small)
            else:
                with _undone(group):
                    group.prune(record_history=False)
                    theirs, size = _logits(self._model, self._images), _size(self._model)
        except Exception as error:
            return one_line(error)
        if not self._same(ours, theirs):
            return "its smaller network gives different logits"
        # It can also cut what has no effect.
        own = _size(layer.pruned(kept))
        unused = _size(self._model) - _size(layer.traced)
        return "" if size == own + unused else f"its smaller network has {size} parameters instead of {own + unused}"


def _size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@torch.inference_mode()
def _logits(model: nn.Module, images: Tensor) -> Tensor:
    return model(images)


@contextmanager
def _undone(group: torch_pruning.dependency.Group) -> Iterator[None]:
    """Let the modules of a group be as they were, afterwards: a graph for each layer would take minutes."""

    def copied(value: object) -> object:
        return copy.copy(value) if isinstance(value, dict | list) else value

    modules = {item.dep.target.module for item in group}
    before = [(module, {name: copied(value) for name, value in vars(module).items()}) for module in modules]
    try:
        yield
    finally:
        for module, attributes in before:
            vars(module).clear()
            vars(module).update(attributes)
