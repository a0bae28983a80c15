"""Training speed in pairs per second, compared with `Dataset` and `DataLoader`."""

from typing import get_args

import numpy as np
import torch

import reference
from measuring import Row, alternating, at_least, compared, cores
from prunecurve.data.batches import Split
from prunecurve.data.tasks.pairs import inputs as pairs_of_images
from prunecurve.model.conv_net import ConvNet
from prunecurve.model.network_file import load_model, prepare_torch
from prunecurve.training.parameters import Precision, Recipe
from prunecurve.training.training import train
from study import Study

RECIPE = Recipe(epochs=1, batch_size=64, learning_rate=1e-3, weight_decay=0.01, max_shift=1, swap=True, same_weight=1.0)
PAIRS = 6400
LEAST = 2


def rows(study: Study) -> list[Row]:
    """Time one epoch of the same network on the same pairs: on the CPU with all cores and, if available, on a GPU."""
    devices = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    return [row for device in devices for row in on_device(study, device)]


def on_device(study: Study, name: str) -> list[Row]:
    """Return the rows of one device. Our training also shifts and swaps images and evaluates a few validation pairs."""
    device = prepare_torch(name, cores())
    images, pairs, labels = study.arrays("train")
    chosen = np.random.default_rng(0).permutation(len(pairs))[:PAIRS]
    pairs, labels = pairs[chosen], labels[chosen]
    split, few = Split.of(images, pairs, labels, device), Split.of(images, pairs[:64], labels[:64], device)
    plain_pairs = reference.Pairs(images, pairs, labels)
    architecture = load_model(study.seed / "model.pt").architecture

    def finished() -> None:
        if name == "cuda":
            torch.cuda.synchronize()

    def plain(turn: int) -> None:
        # Torch's defaults, as in a script that does not set them.
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.allow_tf32 = True
        model = reference.plain_network(architecture).to(device)
        reference.plain_epoch(model, plain_pairs, RECIPE.batch_size, name)
        finished()
        prepare_torch(name, cores())

    def ours(precision: str) -> None:
        recipe = RECIPE.model_copy(update={"precision": precision})
        train(ConvNet(architecture), recipe, split, few, 0, device, pairs_of_images)
        finished()

    plain(0), ours("bfloat16")  # warm-up: torch's initialisation is not measured
    ways = {precision: lambda turn, precision=precision: ours(precision) for precision in get_args(Precision)}
    seconds = alternating(study.rounds, plain=plain, **ways)
    where = f"{cores()} threads" if name == "cpu" else torch.cuda.get_device_name()
    speed = {way: f"{len(pairs) / np.median(taken):,.0f}" for way, taken in seconds.items()}
    results = [
        compared(
            f"training: {study.dataset}, {len(pairs):,} pairs, {where}, {precision}",
            seconds[precision],
            f"Dataset + DataLoader, float32; {speed[precision]} pairs a second against {speed['plain']}",
            seconds["plain"],
        )
        for precision in get_args(Precision)
    ]
    return [at_least(row, LEAST) for row in results] if name == "cpu" else results
