"""Peak memory of one evaluation job."""

import sys

from measuring import Row, at_most_absolute, compared, run_measured
from prunecurve.files import load_array
from study import Study, environment

MOST_MEGABYTES = 250


def rows(study: Study) -> list[Row]:
    """Measure the largest peak over several K, with and without stored sums, each in a process as in the workflow."""
    command = [
        sys.executable,
        "workflow/scripts/eval_pruned.py",
        "--ranking",
        str(study.in_layer / "ranking/l1_norm.csv"),
    ]
    command += [word for name, path in study.files().items() for word in (f"--{name}", path)]
    command += f"--dataset {study.dataset} --seed 0 --layer {study.layer} --criterion l1_norm".split()
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
    most, pairs = max(peaks.values()), len(load_array(study.files()["labels"]))
    name = f"memory: peak of an evaluation job, {study.dataset}, {pairs:,} pairs, in MB"
    return [at_most_absolute(compared(name, [most], "a process that imports numpy", [floor]), MOST_MEGABYTES)]
