"""The study of the benchmark: a copy of the project with one network, trained by the workflow itself."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml

from measuring import cores
from prunecurve.arrays import load_array

PROJECT = Path(__file__).parents[1]
COPIED = ("Snakefile", "config.yaml", "config", "profiles", "workflow", "results/README.md")

FULL = {
    "seeds": [0],
    "network": {"channels": [32, 64, 128], "hidden": [256, 64]},
    "training": {"epochs": 2, "require": 0},
    "ranking": {"criteria": ["l1_norm"]},
    "sweep": {"repairs": ["none"]},
    "threads": cores(),
}
# Small enough for a test of the benchmark; its results have no meaning.
QUICK = {
    "seeds": [0],
    "images": {"train": 150, "val": 80, "test": 80},
    "network": {"channels": [4, 6, 40], "hidden": [12, 6]},
    "training": {"epochs": 1, "require": 0},
    "ranking": {"criteria": ["l1_norm"]},
    "sweep": {"repairs": ["none"]},
}


@dataclasses.dataclass(frozen=True)
class Study:
    """A copy of the project in which Snakemake runs.

    rounds: the number of measurements of each method. results: the folder of the tables.
    """

    folder: Path
    dataset: str
    config: dict
    results: Path
    rounds: int = 5
    quick: bool = False

    @property
    def channels(self) -> int:
        """P, the number of channels of the pruned convolution."""
        return self.config["network"]["channels"][-1]

    @property
    def seed(self) -> Path:
        """The results folder of the network (there is only one)."""
        return self.folder / "results" / self.dataset / "seed0"

    @property
    def layer(self) -> str:
        """The name of the pruned convolution, the last one."""
        return f"conv{len(self.config['network']['channels'])}"

    @property
    def in_layer(self) -> Path:
        """The results folder of the pruned convolution."""
        return self.seed / self.layer

    def files(self, split: str = "test") -> dict[str, str]:
        """Return the input files of an evaluation on a split, by the option names of the script."""
        return {
            "features": str(self.in_layer / "activations" / split / "features.npy"),
            "split": str(self.seed / "labels" / f"{split}.npy"),
            "layer": str(self.in_layer / "layer.npy"),
        }

    def arrays(self, split: str = "test") -> list[np.ndarray]:
        """Return the images of a split, the index (N, 2) of its pairs and the labels (N,)."""
        return [load_array(self.seed / kind / f"{split}.npy") for kind in ("images", "inputs", "labels")]

    def snakemake(self, *arguments: str) -> list[str]:
        """Return the command line of a Snakemake run on all cores."""
        return [sys.executable, "-m", "snakemake", *arguments, "--cores", str(cores()), "--quiet", "rules"]

    def row(self, k: int) -> str:
        """Return the target file of one evaluation."""
        return f"results/{self.dataset}/seed0/{self.layer}/sweep/l1_norm/structural/k{k}.csv"


def environment() -> dict[str, str]:
    """Return a user's environment: bytecode files, this `python` first on PATH, no settings of thread numbers."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "OPENBLAS_", "OMP_", "MKL_", "GOMP_"))}
    return kept | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


def copy_project(folder: Path, config: dict) -> None:
    """Copy the files that a run needs into an empty folder, with another config."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in COPIED:
        source, target = PROJECT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def prepare(scratch: Path, data_dir: Path, results: Path, quick: bool) -> Study:
    """Train a network and collect its features: on MNIST if data_dir has torchvision's files, else on digits."""
    mnist = (data_dir / "MNIST" / "raw").is_dir() and not quick
    config = (QUICK if quick else FULL) | {
        "dataset": "mnist" if mnist else "digits",
        "data_dir": str(data_dir.resolve()),
    }
    study = Study(scratch / "study", config["dataset"], config, results, rounds=1 if quick else 5, quick=quick)
    copy_project(study.folder, config)
    targets = [
        *(str(Path(study.files(split)["features"]).relative_to(study.folder)) for split in ("val", "test")),
        f"results/{study.dataset}/seed0/{study.layer}/partial_sums/l1_norm.npy",
        study.row(0),
        f"results/{study.dataset}/seed0/{study.layer}/calibration/moments.npy",
    ]
    print(f"training a network on {study.dataset} …", flush=True)
    done = subprocess.run(
        study.snakemake(*targets), cwd=study.folder, env=environment(), capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return study
