"""Peak memory of one evaluation job, and of a job that runs a network over large images."""

import json
import sys

import numpy as np

from measuring import Row, at_most_absolute, compared, cores, run_measured
from prunecurve.arrays import load_array, save_array
from prunecurve.model.network_file import built, save_model
from prunecurve.model.parameters import Network
from study import Study, environment

MOST_MEGABYTES = 250
# What the rule asks for.
REQUESTED_MEGABYTES = 2000
FACTORY, ARGUMENTS = "torchvision.models:resnet18", {"num_classes": 10}
# Runs the script with all values of a batch at once. Options follow.
AT_ONCE = """
import sys
sys.path.insert(0, "workflow/scripts")
import collect_activations as job
from prunecurve.data import batches
from prunecurve.activations import collection as activations
batches.MOST_BYTES = activations.BLOCK = 1 << 60
job.work(job.options().parse_args())
"""


def rows(study: Study) -> list[Row]:
    """Measure both."""
    return [of_evaluations(study), of_large_images(study)]


def of_evaluations(study: Study) -> Row:
    """Measure the largest peak over several K, with and without stored sums, each in a process as in the workflow."""
    command = [
        sys.executable,
        "workflow/scripts/eval_pruned.py",
        "--ranking",
        str(study.in_layer / "ranking/l1_norm.csv"),
    ]
    command += [word for name, path in study.files().items() for word in (f"--{name}", path)]
    command += f"--dataset {study.dataset} --seed 0 --criterion l1_norm".split()
    command += ["--removal", "structural", "--output", "row.csv"]
    stored = ["--partial-sums", str(study.in_layer / "partial_sums" / "l1_norm.npy")]
    peaks = {
        (k, bool(more)): run_measured([*command, *more, "--k", str(k)], study.folder, environment())[1]
        for k in sorted({0, 1, study.channels // 2, study.channels - 1})
        for more in (stored, [])
    }
    for (k, with_sums), peak in peaks.items():
        print(f"  K = {k}, {'with stored sums' if with_sums else 'without stored sums'}: {peak:.0f} MB")
    _, floor = run_measured([sys.executable, "-c", "import numpy"], study.folder, environment())
    most, pairs = max(peaks.values()), len(load_array(study.files()["split"]))
    name = f"memory: peak of an evaluation job, {study.dataset}, {pairs:,} pairs, in MB"
    return at_most_absolute(compared(name, [most], "a process that imports numpy", [floor]), MOST_MEGABYTES)


def of_large_images(study: Study) -> Row:
    """Measure the peak of collect_activations for the first layer of ResNet-18, with random images in one batch."""
    size, count = (32, 20) if study.quick else (224, 200)
    numbers, folder = {"in_channels": 3, "image_size": size, "classes": 10}, study.folder / "large"
    model = built(Network(factory=FACTORY, arguments=ARGUMENTS), numbers, 0)
    save_model(folder / "model.pt", model, numbers, 0)
    rng = np.random.default_rng(0)
    save_array(folder / "images.npy", rng.integers(0, 256, (count, 3, size, size), dtype=np.uint8))
    save_array(folder / "inputs.npy", np.arange(count)[:, None])
    save_array(folder / "labels.npy", np.arange(count) % 10)
    network = json.dumps({"factory": FACTORY, "arguments": ARGUMENTS})
    options = {"model": folder / "model.pt", "network": network, "layer": "conv1"}
    options |= {"batch-size": count, "threads": cores(), "device": "cpu", "folder": folder}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    words += ["--split", *(str(folder / f"{name}.npy") for name in ("images", "inputs", "labels"))]
    peaks = [
        run_measured([sys.executable, *start, *words], study.folder, environment())[1]
        for start in (["workflow/scripts/collect_activations.py"], ["-c", AT_ONCE])
    ]
    name = f"memory: peak of collect_activations, ResNet-18, conv1, {count} images of {size}×{size}, in MB"
    row = compared(name, peaks[:1], f"the values of a batch of {count} at once", peaks[1:])
    return at_most_absolute(row, REQUESTED_MEGABYTES)
