"""Training: batches are gathered by index from uint8 tensors, and the best validation epoch is kept."""

import copy
import logging
import math
import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunecurve.data.batches import Split, all_logits, as_input
from prunecurve.data.tasks import Inputs
from prunecurve.errors import StudyError
from prunecurve.model.conv_net import ConvNet
from prunecurve.model.gradients import safe_gradients
from prunecurve.model.user_network import reported, seed_all
from prunecurve.seeding import stream, stream_seed
from prunecurve.training.learned import validation_columns
from prunecurve.training.parameters import Recipe

log = logging.getLogger("prunecurve")


class Augmenter:
    """Batches of training inputs with random shifts of each image and random swaps of a pair; labels stay the same."""

    def __init__(self, split: Split, recipe: Recipe, symmetric: bool, seed: int) -> None:
        """Prepare batches of a split. symmetric: whether a swap keeps the label, see `Inputs`."""
        margin, self.swap = recipe.max_shift, recipe.swap and symmetric
        self.split, self.recipe = split, recipe
        self.size = split.images.shape[-1]
        padded = nn.functional.pad(split.images, (margin,) * 4)
        # A view of all (2·margin + 1)² shifted windows: gathering one copies only as much as the image itself.
        self.windows = padded.unfold(2, self.size, 1).unfold(3, self.size, 1).permute(0, 2, 3, 1, 4, 5)
        self.random = torch.Generator().manual_seed(stream_seed(seed, "augmentation"))

    def _shifted(self, index: Tensor) -> Tensor:
        if self.recipe.max_shift == 0:
            return self.split.images[index]
        rows, columns = torch.randint(2 * self.recipe.max_shift + 1, (2, len(index)), generator=self.random)
        return self.windows[index, rows.to(index.device), columns.to(index.device)]

    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs (n, m · C, S, S) and labels (n,) of the inputs with the numbers `chosen` (n,)."""
        images = self.split.index[chosen].unbind(1)
        if self.swap:
            flip = (torch.rand(len(chosen), generator=self.random) < 0.5).to(chosen.device)
            images = torch.where(flip, images[1], images[0]), torch.where(flip, images[0], images[1])
        return as_input([self._shifted(each) for each in images], self.split.normalisation), self.split.labels[chosen]


def train(
    model: nn.Module,
    recipe: Recipe,
    training: Split,
    validation: Split,
    seed: int,
    device: torch.device,
    task: Inputs,
    *,
    epochs: float | None = None,
    keep_last: bool = False,
    name: str = "",
) -> tuple[nn.Module, list[dict[str, Any]]]:
    """Train a network in place; return it with the weights of its best validation epoch, and one row per epoch.

    The best epoch has the highest balanced accuracy on the validation inputs and, on a tie, the lowest loss;
    its row has 1 in `kept`. task: its constants, see `Inputs`. epochs: instead of those of the recipe; the last epoch
    can be a part of one. keep_last: keep the weights of the last epoch instead. name: of the training, in messages.
    Test data are not used. The same arguments give the same weights on the same kind of machine. Raises StudyError if a
    loss is not finite, or if a user's network cannot be trained.
    """
    # An error of the built-in network would be one of this package, whose traceback belongs in the log.
    users = not isinstance(model, ConvNet)
    model = model.to(device, memory_format=torch.channels_last)
    # Dropout uses torch's global generator. A new seed makes it independent of how many weights were initialised.
    seed_all(stream_seed(seed, "dropout"))
    order = stream(seed, "batches")
    augmenter = Augmenter(training, recipe, task.SYMMETRIC, seed)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    of_epoch = math.ceil(len(training) / recipe.batch_size)
    steps = max(1, round(of_epoch * (recipe.epochs if epochs is None else epochs)))
    last = math.ceil(steps / of_epoch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=recipe.learning_rate, total_steps=steps)
    weight = torch.tensor(class_weights(recipe, training.labels.cpu().numpy()), device=device)
    labels = validation.labels.cpu().numpy()
    rows: list[dict[str, Any]] = []
    best, best_weights, kept, started = (-math.inf, -math.inf), None, 0, time.monotonic()
    for epoch in range(1, last + 1):
        rate = schedule.get_last_lr()[0]
        with reported("network.factory: the network fails in training") if users else nullcontext():
            loss = _one_epoch(model, augmenter, optimiser, schedule, weight, order, steps - of_epoch * (epoch - 1))
        if not math.isfinite(loss):
            raise StudyError(
                f"training: the loss is {loss} in epoch {epoch}; lower training.learning_rate ({recipe.learning_rate})"
            )
        columns = validation_columns(all_logits(model, validation), labels, task.RECALLS)
        times = {"learning_rate": rate, "seconds": round(time.monotonic() - started, 2)}
        rows.append({"epoch": epoch, "train_loss": loss, **columns, **times})
        log.info("%s", _progress(rows[-1], last, seed, name))
        merit = (epoch if keep_last else columns["val_balanced_accuracy"], -columns["val_loss"])
        if math.isfinite(columns["val_loss"]) and merit > best:
            best, best_weights, kept = merit, copy.deepcopy(model.state_dict()), epoch
    if best_weights is None:
        raise StudyError("training: no epoch gave a finite validation loss; lower training.learning_rate")
    model.load_state_dict(best_weights)
    return model.eval(), [row | {"kept": int(row["epoch"] == kept)} for row in rows]


def class_weights(recipe: Recipe, labels: np.ndarray) -> list[float]:
    """Return the loss weight of each class; class 0 has weight 1. `balanced` gives all classes the same total weight.

    labels: int (N,), of the training inputs.
    """
    if recipe.same_weight != "balanced":
        return [1.0, float(recipe.same_weight)]
    first, *others = np.bincount(labels).tolist()
    return [1.0, *(first / max(count, 1) for count in others)]


def _one_epoch(model, augmenter, optimiser, schedule, weight, order, steps) -> float:
    """Do one pass over the shuffled training inputs, of at most `steps` batches; return the mean loss per input."""
    model.train()
    recipe = augmenter.recipe
    # Weights, their updates and all evaluations are float32.
    precision = torch.autocast(
        weight.device.type,
        getattr(torch, recipe.precision),
        enabled=recipe.precision != "float32",
        cache_enabled=False,
    )
    total, count = torch.zeros((), dtype=torch.float64), min(len(augmenter.split), steps * recipe.batch_size)
    shuffled = torch.from_numpy(order.permutation(len(augmenter.split))[:count]).to(weight.device)
    for chosen in shuffled.split(recipe.batch_size):
        # Batch normalisation needs at least two inputs to compute a variance.
        if len(chosen) < 2:
            schedule.step()
            continue
        inputs, labels = augmenter.batch(chosen)
        with precision, safe_gradients(model):
            logits = model(inputs)
        loss = nn.functional.cross_entropy(logits.float(), labels, weight=weight)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        total += loss.detach().double().cpu() * len(chosen)
    return float(total) / count


def _progress(row: Mapping[str, Any], epochs: int, seed: int, name: str) -> str:
    left = row["seconds"] / row["epoch"] * (epochs - row["epoch"])
    return (
        f"train seed {seed}{name}: epoch {row['epoch']}/{epochs}  loss {row['train_loss']:.4f}  validation loss "
        f"{row['val_loss']:.4f}, balanced accuracy {row['val_balanced_accuracy']:.4f}  {left:.0f} s left"
    )
