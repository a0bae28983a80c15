"""Features and statistics in one pass over the pairs or in two; and memory as a function of the number of pairs."""

import statistics
import sys

import numpy as np
import torch

from measuring import Row, alternating, at_most, compared, cores, run_measured
from prunecurve.activations.collection import ChannelStatistics, collect
from prunecurve.arrays import save_array, streamed_array
from prunecurve.data.batches import Split
from prunecurve.graph.layers import PrunableLayer
from prunecurve.graph.points import POINTS
from prunecurve.model.network_file import load_model, prepare_torch
from prunecurve.tables import write_rows
from study import Study, environment

BATCH = 250
# The memory that the allocator keeps varies by some ten MB between runs. With more pairs this matters less.
TIMES = 8


@torch.inference_mode()
def in_two_passes(layer: PrunableLayer, split: Split, folder) -> None:
    """Do one pass for the features, also streamed to disk, and one for the statistics at each measurement point."""
    count, done, total = len(split), 0, 0
    shape = (count, layer.channels, *layer.points.map_shape)
    with streamed_array(folder / "features.npy", shape) as features:
        for inputs, _ in split.batches(BATCH):
            x = layer.maps(inputs)["pool"]
            features[done : done + len(x)] = x.numpy()
            total = total + x.double().sum(0)
            done += len(x)
    save_array(folder / "mean_features.npy", (total / count).numpy())
    measured, total = {point: ChannelStatistics() for point in POINTS}, 0
    for inputs, _ in split.batches(BATCH):
        maps = layer.maps(inputs)
        for point in POINTS:
            measured[point].add(maps[point])
        total = total + maps["relu"].double().sum(0)
    save_array(folder / "mean_maps.npy", (total / count).numpy())
    columns = {f"{point}_{name}": v for point in POINTS for name, v in measured[point].columns().items()}
    write_rows(folder / "channels.csv", [{name: v[c] for name, v in columns.items()} for c in range(shape[1])])


def rows(study: Study) -> list[Row]:
    """Measure time in this process, and memory of whole jobs with all pairs and with each pair repeated TIMES times."""
    prepare_torch("cpu", cores())
    model = load_model(study.seed / "model.pt")
    layer = PrunableLayer(model, study.layer, model.input_shape)
    images, pairs, labels = study.arrays()
    split, folder = Split.of(images, pairs, labels, "cpu"), study.folder / "collected"
    seconds = alternating(
        study.rounds,
        one=lambda turn: collect(layer, split, BATCH, folder),
        two=lambda turn: in_two_passes(layer, split, folder),
    )
    peaks, sizes = [], []
    command = [sys.executable, "workflow/scripts/collect_activations.py", "--model", study.seed / "model.pt"]
    command += ["--split", study.seed / "images" / "test.npy", folder / "pairs.npy", folder / "labels.npy"]
    command += ["--layer", study.layer, "--batch-size", BATCH, "--folder", folder, "--device", "cpu"]
    for times in (1, TIMES):
        save_array(folder / "pairs.npy", np.tile(pairs, (times, 1)))
        save_array(folder / "labels.npy", np.tile(labels, times))
        runs = [
            run_measured([str(word) for word in command], study.folder, environment())[1] for _ in range(study.rounds)
        ]
        peaks.append(statistics.median(runs))
        sizes.append((folder / "features.npy").stat().st_size / 2**20)
        print(f"  {times * len(pairs)} pairs: peak {peaks[-1]:.0f} MB, features.npy {sizes[-1]:.0f} MB")
    name = f"activations: {study.dataset}, {len(pairs):,} pairs"
    grown = f"activations: more at peak for {TIMES * len(pairs):,} pairs than for {len(pairs):,}, in MB"
    artifact = "how much larger features.npy is, which is written batch by batch"
    return [
        compared(f"{name} in one pass", seconds["one"], "two passes", seconds["two"]),
        at_most(compared(grown, [peaks[1] - peaks[0]], artifact, [sizes[1] - sizes[0]]), 1.1),
    ]
