"""Retraining, a control for repairs: smaller networks that are trained further, and networks trained from scratch."""

import copy
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import nn

from prunecurve.data.batches import Split
from prunecurve.data.tasks import Inputs
from prunecurve.training.parameters import Recipe
from prunecurve.training.training import train

# The number of epochs with which a network trained from scratch needs as much compute as the unpruned network in the
# epochs of the recipe.
SAME_COMPUTE = "same_compute"
# At most this many times the epochs of the recipe, as in Liu et al. 2019 (Scratch-B).
MOST_TIMES = 2


class Retraining(NamedTuple):
    """How the networks of one seed are trained: with the same batches and the same schedule, whatever their start."""

    recipe: Recipe
    training: Split
    validation: Split
    seed: int
    device: torch.device
    task: Inputs

    def networks(
        self, start: nn.Module, budgets: Sequence[float], learning_rate: float, name: str
    ) -> Iterator[tuple[float, nn.Module]]:
        """Yield each budget, a number of epochs, and the network after a training of its own from the start.

        The weights are those of the last epoch. With a budget of 0 the network is the start. name: in messages.
        """
        recipe = self.recipe.model_copy(update={"learning_rate": learning_rate})
        splits = self.training, self.validation
        for epochs in budgets:
            model = copy.deepcopy(start)
            if epochs:
                which = f"{name}, {epochs:g} epoch{'' if epochs == 1 else 's'}"
                train(
                    model, recipe, *splits, self.seed, self.device, self.task, epochs=epochs, keep_last=True, name=which
                )
            yield epochs, model.eval()


def same_compute(epochs: int, macs: int, macs_of_whole: int) -> float:
    """Return the epochs that cost a smaller network as much as `epochs` cost the unpruned one, at most twice as many.

    macs: of one input, of the smaller and of the unpruned network.
    """
    return epochs * min(macs_of_whole / macs, MOST_TIMES)
