"""The exact greedy order, compared with one forward pass with masked channels per candidate."""

import time

import numpy as np
import torch

from measuring import Row, alternating, at_most_absolute, compared, cores
from prunecurve.arrays import load_array
from prunecurve.data.batches import Split
from prunecurve.graph.layer_file import load_layer
from prunecurve.graph.layers import PrunableLayer
from prunecurve.model.network_file import load_model, prepare_torch
from prunecurve.ranking.orders import backward, losses_of
from prunecurve.ranking.validation_set import ValidationSet
from prunecurve.sweep.backends.numpy_backend import Backend
from study import Study

PAIRS = 2000
MOST_SECONDS = 20
SAMPLE = 10  # candidates per round for the other methods; all candidates take the same time


def rows(study: Study) -> list[Row]:
    """Time our method completely; time the others on a sample of candidates and scale to all candidates."""
    prepare_torch("cpu", cores())
    files, channels = study.files("val"), study.channels
    features = load_array(files["features"], mapped=True)[:PAIRS]
    images, pairs, of_pairs = study.arrays("val")
    pairs, of_pairs = pairs[: len(features)], of_pairs[: len(features)]
    described = load_layer(files["layer"])
    validation = ValidationSet(features, of_pairs, described, Backend(described), cores())
    model = load_model(study.seed / "model.pt")
    layer = PrunableLayer(model, study.layer, model.input_shape)
    split = Split.of(images, pairs, of_pairs, "cpu")
    batches = [inputs for inputs, _ in split.batches(500)]
    stored = torch.from_numpy(np.array(features))
    labels = torch.from_numpy(of_pairs)
    candidates = channels * (channels + 1) // 2 - 1
    random = np.random.default_rng(0)

    def ours(turn: int) -> None:
        backward(losses_of(validation))

    @torch.inference_mode()
    def masked(pooled) -> float:
        started = time.perf_counter()
        for _ in range(SAMPLE):
            removed = random.choice(channels, random.integers(1, channels), replace=False)
            logits = []
            for maps in pooled():
                maps = maps.clone()
                maps[:, removed] = 0
                logits.append(layer.downstream.module(maps.flatten(1)))
            torch.nn.functional.cross_entropy(torch.cat(logits), labels).item()
        return (time.perf_counter() - started) / SAMPLE * candidates

    seconds = alternating(
        study.rounds,
        ours=ours,
        whole_network=lambda turn: masked(lambda: (layer.maps(inputs)["pool"] for inputs in batches)),
        linear_layers=lambda turn: masked(lambda: [stored]),
    )
    name = f"greedy: order of {channels} channels, {study.dataset}, {len(pairs):,} pairs, {cores()} threads"
    scaled = f"{SAMPLE} timed a round, scaled to all {candidates:,} candidates"
    network = f"masked forward passes of the network; {scaled}"
    layers = f"masked passes of the linear layers in torch, from stored features; {scaled}"
    return [
        at_most_absolute(compared(name, seconds["ours"], network, seconds["whole_network"]), MOST_SECONDS),
        compared(f"{name}, given the features", seconds["ours"], layers, seconds["linear_layers"]),
    ]
