"""Two trainings that share the cores, compared with one alone and with the way OpenMP waits by default."""

import json
import subprocess
import sys

import numpy as np

from measuring import Row, alternating, at_most, compared, cores
from prunecurve.arrays import save_array
from prunecurve.tables import read_rows
from study import Study, environment

# Enough for an epoch of some seconds, in which the two trainings run side by side.
PAIRS = 6400
# With two at once, each may take at most this many times as long as one alone; 2 is what the cores allow.
MOST = 2.2
SPINNING = {"GOMP_SPINCOUNT": "300000"}


def rows(study: Study) -> list[Row]:
    """Time the second epoch of a training on all cores, alone and beside another one."""
    _, pairs, labels = study.arrays("train")
    few = np.random.default_rng(0).permutation(len(pairs))[: 128 if study.quick else PAIRS]
    scratch = study.folder.with_name("shared")
    for split, chosen in (("train", few), ("val", few[:64])):
        save_array(scratch / f"{split}_inputs.npy", pairs[chosen])
        save_array(scratch / f"{split}_labels.npy", labels[chosen])

    def start(number: int, variables: dict[str, str]) -> subprocess.Popen:
        images, threads = study.seed / "images" / "train.npy", 2 if study.quick else cores()
        network = study.config["network"]
        options = {
            **{s: [images, scratch / f"{s}_inputs.npy", scratch / f"{s}_labels.npy"] for s in ("train", "val")},
            **{"network": json.dumps({"channels": network["channels"], "hidden": network["hidden"]})},
            **{"training": json.dumps({"epochs": 2, "max_shift": 1, "same_weight": 1, "require": 0})},
            **{"device": "cpu", "threads": threads, "seed": number},
            **{"model": scratch / f"{number}.pt"},
            **{"history": scratch / f"{number}.csv", "log": scratch / f"{number}.log"},
        }
        words = [sys.executable, study.folder / "workflow" / "scripts" / "train.py"]
        for name, value in options.items():
            words += [f"--{name}", *(value if isinstance(value, list) else [value])]
        return subprocess.Popen([str(word) for word in words], env=environment() | variables)

    def together(count: int, variables: dict[str, str]) -> float:
        processes = [start(number, variables) for number in range(count)]
        if any([process.wait() for process in processes]):
            raise SystemExit(f"a training failed; see {scratch}/*.log")
        return max(second_epoch(scratch / f"{number}.csv") for number in range(count))

    seconds = alternating(
        min(study.rounds, 3),
        two=lambda turn: together(2, {}),
        alone=lambda turn: together(1, {}),
        spinning=lambda turn: together(2, SPINNING),
    )
    name = f"shared: two trainings at once, {study.dataset}, {len(few):,} pairs, {cores()} threads each"
    alone = compared(f"{name}, against one", seconds["two"], "one training alone", seconds["alone"])
    return [
        at_most(alone, MOST),
        compared(
            f"{name}, waiting",
            seconds["two"],
            "two at once, OpenMP spins while it waits, its default",
            seconds["spinning"],
        ),
    ]


def second_epoch(path) -> float:
    """Return the seconds of the second epoch; in the first one, torch prepares its kernels."""
    first, second = (float(row["seconds"]) for row in read_rows(path))
    # The file has hundredths of a second, and the tiny study of a test needs less.
    return max(second - first, 0.01)
