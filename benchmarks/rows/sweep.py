"""All K of one criterion in one process, against a forward pass for every K."""

import dataclasses
import time

import reference
from measuring import Row, alternating, at_least, compared, cores
from prunecurve.activations import collect
from prunecurve.batches import Split
from prunecurve.files import load_array, read_order
from prunecurve.network import load_model, prepare_torch
from prunecurve.sweep import Evaluator
from study import Study

LEAST = 400
WAYS = {
    "zero_weights": "copy, zero the weights, forward all pairs",
    "structural": "Torch-Pruning removes the channels, forward all pairs",
}


def rows(study: Study) -> list[Row]:
    """Round r of R runs every R-th K of the other ways, so that all K are run once; their time is scaled to all K."""
    prepare_torch("cpu", cores())
    files, channels = study.files(), study.channels
    model = load_model(study.seed / "model.pt")
    split = Split.of(load_array(study.seed / "images" / "test.npy"), load_array(files["pairs"]), "cpu")
    batches, order = reference.gathered(split), read_order(study.seed / "ranking" / "l1_norm.csv", channels)
    evaluator, ks = Evaluator(**files), range(1, channels)
    swept = {removal: {row["k"]: row for row in evaluator.rows(order, ks, removal)} for removal in WAYS}
    differing: dict[str, list[int]] = {removal: [] for removal in WAYS}

    def forward(removal: str, turn: int) -> float:
        chosen = ks[turn :: study.rounds]
        started = time.perf_counter()
        for k in chosen:
            removed = order[:k].copy()
            if removal == "structural":
                pruned = reference.prune_physically(model, removed, batches[0][:2])
            else:
                pruned = reference.zero_the_weights(model, removed)
            found = reference.counts(pruned, batches, evaluator.labels)
            if any(swept[removal][k][name] != count for name, count in found.items()):
                differing[removal].append(k)
        return (time.perf_counter() - started) / len(chosen) * len(ks)

    def ours(removal: str) -> None:
        evaluator.rows(order, ks, removal, threads=cores())

    def from_images(turn: int) -> None:
        collect(model, split, 250, study.folder / "collected")
        Evaluator(str(study.folder / "collected" / "features.npy"), files["pairs"], files["weights"]).rows(
            order, ks, "structural", threads=cores()
        )

    seconds = alternating(
        study.rounds,
        ours_zero=lambda turn: ours("zero_weights"),
        zero=lambda turn: forward("zero_weights", turn),
        ours_structural=lambda turn: ours("structural"),
        pruning=lambda turn: forward("structural", turn),
        ours_from_images=from_images,
    )
    for removal, found in differing.items():
        print(f"  {removal}: confusion counts differ at {len(found)} of {len(ks)} K {sorted(found)}")
    name = f"sweep: all {len(ks)} K in process, {study.dataset}, {len(split.pairs):,} pairs, {cores()} threads"

    def row(own: str, other: str, removal: str) -> Row:
        same = len(ks) - len(differing[removal])
        told = f"{WAYS[removal]}; the same confusion counts at {same} of {len(ks)} K"
        made = at_least(compared(f"{name}, {removal}", seconds[own], told, seconds[other]), LEAST)
        target = f"{made.target}, the same counts"
        return dataclasses.replace(made, target=target, met=made.met and same == len(ks))

    from_images_too = compared(
        f"{name}, structural, from the images", seconds["ours_from_images"], WAYS["structural"], seconds["pruning"]
    )
    return [row("ours_zero", "zero", "zero_weights"), row("ours_structural", "pruning", "structural"), from_images_too]
