"""Features and statistics in one pass over the pairs, against two; and how memory grows with their number."""

import os
import statistics
import sys

import numpy as np
import torch

from measuring import Row, alternating, faster, run_measured
from prunecurve.activations import ChannelStatistics, collect
from prunecurve.batches import Split
from prunecurve.files import load_array, save_array
from prunecurve.network import POINTS, load_model, prepare_torch
from study import Study, environment

BATCH = 250


@torch.inference_mode()
def in_two_passes(model, split: Split, folder) -> None:
    """One pass for the features, one for what the channels do at each point: the same numbers."""
    features = np.concatenate([model.last_block(inputs)["pool"].numpy() for inputs, _ in split.batches(BATCH)])
    save_array(folder / "features.npy", features)
    measured = {point: ChannelStatistics() for point in POINTS}
    sums = {"relu": 0, "pool": 0}
    for inputs, _ in split.batches(BATCH):
        maps = model.last_block(inputs)
        for point in POINTS:
            measured[point].add(maps[point])
        sums = {point: sums[point] + maps[point].double().sum(0) for point in sums}
    for point in POINTS:
        measured[point].columns()


def rows(study: Study) -> list[Row]:
    """Time in this process; memory of whole jobs for the pairs and for four times as many, each pair repeated."""
    prepare_torch("cpu", os.cpu_count())
    model = load_model(study.seed / "model.pt")
    images, pairs = (load_array(study.seed / kind / "test.npy") for kind in ("images", "pairs"))
    split, folder = Split.of(images, pairs, "cpu"), study.folder / "collected"
    seconds = alternating(
        study.rounds,
        one=lambda turn: collect(model, split, BATCH, folder),
        two=lambda turn: in_two_passes(model, split, folder),
    )
    peaks, sizes = [], []
    command = [sys.executable, "workflow/scripts/collect_activations.py", "--model", study.seed / "model.pt"]
    command += ["--images", study.seed / "images" / "test.npy", "--pairs", folder / "pairs.npy"]
    command += ["--batch-size", BATCH, "--folder", folder, "--device", "cpu"]
    for times in (1, 4):
        save_array(folder / "pairs.npy", np.tile(pairs, (times, 1)))
        # What the allocator keeps differs by some ten MB from run to run.
        runs = [run_measured([str(word) for word in command], study.folder, environment())[1] for _ in range(3)]
        peaks.append(statistics.median(runs))
        sizes.append((folder / "features.npy").stat().st_size / 2**20)
        print(f"  {times * len(pairs)} pairs: peak {peaks[-1]:.0f} MB, features.npy {sizes[-1]:.0f} MB")
    grown, artifact = peaks[1] - peaks[0], sizes[1] - sizes[0]
    ratio = grown / artifact
    return [
        faster(f"activations: {len(pairs):,} pairs in one pass", seconds["one"], "two passes", seconds["two"]),
        Row(
            f"activations: MB more at peak for {4 * len(pairs):,} pairs than for {len(pairs):,}",
            grown,
            "MB that features.npy is larger, whose pages count while it is written",
            artifact,
            ratio,
            "ours / other ≤ 1.1",
            ratio <= 1.1,
        ),
    ]
