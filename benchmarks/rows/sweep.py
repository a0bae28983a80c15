"""All K of one criterion in one process, compared with one forward pass per K."""

import dataclasses
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

import reference
from measuring import Row, alternating, at_least, compared, cores
from prunecurve.activations.collection import collect
from prunecurve.data.batches import Split
from prunecurve.graph.layers import PrunableLayer
from prunecurve.model.network_file import load_model, prepare_torch
from prunecurve.sweep.evaluation import Evaluator
from prunecurve.tables import read_order
from study import Study

LEAST = 400
SAMPLE = 5  # K per round for the methods that do not run all K
WAYS = {
    "zero_weights": "copy the model, zero the weights, forward all pairs",
    "structural": "copy the model, prune with Torch-Pruning, forward all pairs",
}


def rows(study: Study) -> list[Row]:
    """Measure all methods. Round r of R runs every R-th K of the plain methods, so all K are run once.

    The times are scaled to all K. The rows also say at how many K the confusion counts are the same.
    """
    prepare_torch("cpu", cores())
    files, channels = study.files(), study.channels
    model = load_model(study.seed / "model.pt")
    images, pairs, labels = study.arrays()
    split = Split.of(images, pairs, labels, "cpu")
    order, ks = read_order(study.in_layer / "ranking" / "l1_norm.csv", channels), range(1, channels)
    evaluator = Evaluator(files["features"], files["split"], files["layer"])
    layer = PrunableLayer(model, study.layer, model.input_shape)
    swept = {removal: {row["k"]: row for row in evaluator.rows(order, ks, removal)} for removal in WAYS}
    differing: dict[str, set[int]] = {removal: set() for removal in WAYS}

    plain, batches = reference.plain_copy(model), reference.gathered(split)
    loader = torch.utils.data.DataLoader(reference.Pairs(images, pairs, labels), batch_size=100)

    def pruned(network, removal: str, removed: np.ndarray):
        if removal == "zero_weights":
            return reference.zero_the_weights(network, removed)
        return reference.prune_physically(network, removed, batches[0][:2])

    def timed(removal: str, network, chosen: Sequence[int], count: Callable) -> float:
        started = time.perf_counter()
        for k in chosen:
            counts = count(pruned(network, removal, order[:k].copy()))
            if any(swept[removal][k][name] != number for name, number in counts.items()):
                differing[removal].add(k)
        return (time.perf_counter() - started) / len(chosen) * len(ks)

    def by_plain_loop(removal: str, turn: int) -> float:
        count = lambda network: reference.plain_counts(network, loader, labels)  # noqa: E731
        return timed(removal, plain, ks[turn :: study.rounds], count)

    def by_fast_loop(removal: str, turn: int) -> float:
        def count(network) -> dict[str, int]:
            return reference.counts(network.to(memory_format=torch.channels_last), batches, labels)

        return timed(removal, model, ks[turn * 2 :: len(ks) // SAMPLE][:SAMPLE], count)

    def from_images(turn: int) -> None:
        collect(layer, split, 250, study.folder / "collected")
        features = str(study.folder / "collected" / "features.npy")
        again = Evaluator(features, files["split"], files["layer"])
        again.rows(order, ks, "structural", threads=cores())

    ways: dict[str, Callable] = {}
    for removal in WAYS:
        ways[f"ours_{removal}"] = lambda turn, r=removal: evaluator.rows(order, ks, r, threads=cores()) and None
        ways[f"plain_{removal}"] = lambda turn, r=removal: by_plain_loop(r, turn)
        ways[f"fast_{removal}"] = lambda turn, r=removal: by_fast_loop(r, turn)
    seconds = alternating(study.rounds, **ways, from_images=from_images)
    name = f"sweep: all {len(ks)} K in process, {study.dataset}, {len(pairs):,} pairs, {cores()} threads"

    def against_plain(removal: str) -> Row:
        same = len(ks) - len(differing[removal])
        other = f"{WAYS[removal]} (Dataset, DataLoader); the same confusion counts at {same} of {len(ks)} K"
        row = at_least(
            compared(f"{name}, {removal}", seconds[f"ours_{removal}"], other, seconds[f"plain_{removal}"]), LEAST
        )
        return dataclasses.replace(row, target=f"{row.target}, the same counts", met=row.met and same == len(ks))

    def against_fast(removal: str) -> Row:
        other = f"{WAYS[removal]}, with our forward pass and the inputs in memory"
        ours, fast = seconds[f"ours_{removal}"], seconds[f"fast_{removal}"]
        return compared(f"{name}, {removal}, fast passes", ours, other, fast)

    whole = f"{WAYS['structural']} (Dataset, DataLoader)"
    return [
        *(against_plain(removal) for removal in WAYS),
        *(against_fast(removal) for removal in WAYS),
        compared(f"{name}, structural, from the images", seconds["from_images"], whole, seconds["plain_structural"]),
    ]
