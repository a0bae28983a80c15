"""Fixtures and helpers: small networks, and copies of the project in which the real `snakemake` runs."""

import atexit
import compileall
import fcntl
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import matplotlib
import numpy as np
import preloaded
import psutil
import pytest
import torch
from hypothesis import settings
from prunecurve.graph.layers import PrunableLayer
from prunecurve.model.conv_net import Architecture, ConvNet
from prunecurve.data.batches import Split
from xdist.scheduler import LoadScopeScheduling

PROJECT = Path(__file__).parents[1]
# Folders at the top of a working folder that a fresh clone does not have or that a study does not need.
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv*", ".snakemake", ".*_cache", ".hypothesis", "archive", "data", "results"
)

# No deadline: each example builds a network, and the time for that is irrelevant to the tested property.
settings.register_profile("prunecurve", deadline=None, max_examples=25)
settings.load_profile("prunecurve")
torch.set_num_threads(1)

TINY = """
seeds: [0]
images: {train: 150, val: 80, test: 80}
network: {channels: [4, 6, 8], hidden: [12, 6]}
training: {epochs: 2, learning_rate: 0.003, same_weight: 6.0, require: 0}
ranking: {criteria: [mean_activation, l1_norm]}
sweep: {repairs: [none]}
figures: {dpi: 80}
threads: 2
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    faults = parser.getgroup("faults", "tests/test_faults.py")
    faults.addoption("--repeat-faults", type=int, default=1, metavar="N", help="kill N times in each stage")
    faults.addoption("--fault-seed", type=int, metavar="S", help="seed printed by a failed test, to repeat its kills")


def not_copied(folder: str, names: list[str]) -> set[str]:
    """Return the names in a folder of the project that a copy for a test leaves out."""
    return NOT_COPIED(folder, names) if Path(folder) == PROJECT else set()


class Study:
    """A copy of the project with a small config. `run` calls `snakemake` in it as a user does."""

    # The name of the study, and additional environment variables for `run`.
    name = "digits"
    variables: Mapping[str, str] = MappingProxyType({})
    # Whether jobs are forks of a process that has imported their libraries.
    preloaded_jobs = True

    def __init__(self, folder: Path, config: str = TINY) -> None:
        self.folder = folder
        # With the bytecode, so that no study compiles the package again.
        compileall.compile_dir(PROJECT / "workflow" / "scripts", quiet=2)
        shutil.copytree(PROJECT, folder, ignore=not_copied)
        (folder / "config.yaml").write_text(config)

    @classmethod
    def at(cls, folder: Path) -> "Study":
        """Return the study in an existing folder."""
        study = object.__new__(cls)
        study.folder = folder
        return study

    def copy(self, folder: Path) -> "Study":
        """Return a copy with the modification times and the records that Snakemake uses; links stay links."""
        shutil.copytree(self.folder, folder, symlinks=True)
        study = self.at(folder)
        study.variables, study.name = self.variables, self.name
        return study

    def run(self, *arguments: str, succeed: bool | None = True, cores: int = 2) -> subprocess.CompletedProcess[str]:
        """Run snakemake and return the process; its `stdout` holds stdout and stderr.

        succeed: whether the run must succeed; None accepts both results.
        """
        words = ["-m", "snakemake", "--cores", str(cores), *arguments]
        variables = environment() | self.variables
        variables["PYTHON_OF_JOBS"] = preloaded_python() if self.preloaded_jobs else sys.executable
        with open(os.devnull) as stdin, tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            files = [file.fileno() for file in (stdin, output, output)]
            try:
                status = preloaded.call(preloaded_python(), words, str(self.folder), variables, files)
            except BaseException:
                # A test that is stopped, for example by its timeout, leaves no run behind.
                os.killpg(preloaded_server()[1].pid, signal.SIGKILL)
                preloaded_server.cache_clear()
                raise
            output.seek(0)
            process = subprocess.CompletedProcess(words, status, output.read())
        if succeed is not None:
            assert (process.returncode == 0) is succeed, process.stdout
        return process

    def start(self, *arguments: str, python: str = sys.executable, cores: int = 2) -> subprocess.Popen:
        """Start snakemake in a process group of its own. Its output is in `output`.

        python: the Python of snakemake and its jobs.
        """
        with (self.folder / "output.log").open("w") as output:
            return subprocess.Popen(
                [python, "-m", "snakemake", "--cores", str(cores), *arguments],
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment() | {"PYTHON_OF_JOBS": python},
                start_new_session=True,
                preexec_fn=heeds_interrupts,
            )

    @property
    def output(self) -> str:
        """The output of the last process that `start` has started."""
        return (self.folder / "output.log").read_text()

    def plan(self, *arguments: str) -> dict[str, int]:
        """Return the number of planned jobs of each rule (dry run)."""
        output = self.run("-n", *arguments, "--quiet", "rules").stdout
        assert "Job stats" in output or "Nothing to be done" in output, output
        return jobs_of_run(output)

    def path(self, name: str) -> Path:
        """Return the path of a file in the results of the study."""
        return self.folder / "results" / self.name / name


def jobs_of_run(output: str) -> dict[str, int]:
    """Return the number of jobs of each rule that a run or a dry run prints before its first job."""
    table = re.search(r"^Job stats.*?^ ?total", output, re.MULTILINE | re.DOTALL)
    counts = re.findall(r"^ ?([a-z_ ]+?) +(\d+) *$", table[0], re.MULTILINE) if table else []
    # A table of the plugin rich has spaces in the names of rules, and begins with one.
    return {rule.replace(" ", "_"): int(count) for rule, count in counts}


@functools.cache
def preloaded_server() -> tuple[str, subprocess.Popen]:
    """Start preloaded.py, once in each test process; return the path of its `python` and its process."""
    folder = tempfile.mkdtemp(prefix="preloaded-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # What the package and its figures set before they import these libraries.
    variables = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL")} | {"GOMP_SPINCOUNT": "0"}
    variables |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": str(Path(matplotlib.__file__).with_name("mpl-data"))}
    # It answers calls until its input ends, at the latest with this process.
    server = subprocess.Popen(
        [sys.executable, preloaded.__file__, f"{folder}/python"],
        env=environment() | variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert server.stdout.readline() == b"ready\n"
    return f"{folder}/python", server


def preloaded_python() -> str:
    """Return the path of a `python` that has imported Snakemake and the libraries of the jobs."""
    return preloaded_server()[0]


def environment() -> dict[str, str]:
    """Return the environment variables of a user who has not activated the virtual environment.

    Python writes bytecode, so that not every job compiles the package.
    """
    others = ("PYTEST", "SNAKEMAKE", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
    return {k: v for k, v in os.environ.items() if not k.startswith(others)}


def heeds_interrupts() -> None:
    """For `preexec_fn`: restore Ctrl-C, which is ignored if a shell started the tests in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_until(condition: Callable[[], object], seconds: float = 120.0) -> bool:
    """Wait until the condition is true; return whether it is."""
    deadline = time.monotonic() + seconds
    while not (reached := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(reached)


def processes_in(folder: Path) -> list[psutil.Process]:
    """Return all processes whose working directory is in a folder, with their `info`: name and command line."""
    running = psutil.process_iter(["cwd", "name", "cmdline"])
    return [each for each in running if each.info["cwd"] and Path(each.info["cwd"]).is_relative_to(folder.resolve())]


TOGETHER = ("test_slurm.py", "test_archive.py", "test_cache.py", "test_benchmarks.py", "test_classes.py")


class TogetherOrAnywhere(LoadScopeScheduling):
    """Run the tests of a file in TOGETHER in one process, because they share an expensive fixture; all others anywhere.

    One of them is the Slurm cluster, of which there is only one. These files start first: they have the most tests.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        return file if file.endswith(TOGETHER) else nodeid


# Files whose tests run Snakemake, and fixtures for it. `make test-quick` leaves these tests out (marker `snakemake`).
RUN_SNAKEMAKE = {*TOGETHER, "test_workflow.py", "test_faults.py"}
FOR_SNAKEMAKE = {"study", "finished", "copied", "untouched"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that run Snakemake, and put them first: at the end, short tests keep all processes at work."""
    for item in items:
        if item.path.name in RUN_SNAKEMAKE or FOR_SNAKEMAKE & set(item.fixturenames):
            item.add_marker("snakemake")
    items.sort(key=lambda item: item.get_closest_marker("snakemake") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process more than cores, because tests wait: for Slurm, for a job, for a study that they share."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Replace `--dist loadgroup`, which has no effect in pytest-xdist 3.8 with pytest 9.2."""
    return TogetherOrAnywhere(config, log)


@pytest.fixture(autouse=True)
def same_weights_in_any_order_of_the_tests() -> None:
    """Begin each test with the same random numbers of torch, whichever tests the process has run before."""
    torch.manual_seed(0)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A new study in which nothing was run yet."""
    return Study(tmp_path / "study")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A finished study, read only. Tests that change files use `copied`."""
    return finished_study(tmp_path_factory, "finished", TINY)


def finished_study(tmp_path_factory: pytest.TempPathFactory, name: str, config: str, *targets: str) -> Study:
    """Return the study of this name. The first worker process that needs it runs it, or only its targets, for all.

    The output of its run is in a file beside the folder, with the suffix `.txt`.
    """
    root = tmp_path_factory.getbasetemp()
    # Each worker process has its own folder in a common one.
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / name).is_dir():
            study = Study(root / f"{name}-running", config)
            (root / f"{name}.txt").write_text(study.run(*targets).stdout)
            study.folder.rename(root / name)
    return Study.at(root / name)


@pytest.fixture
def copied(finished: Study, tmp_path: Path) -> Study:
    """A copy of the finished study."""
    return finished.copy(tmp_path / "study")


def random_network(architecture: Architecture, seed: int) -> ConvNet:
    """Return a network with random weights, biases and batch normalisation; few channels are dead."""
    torch.manual_seed(seed)
    model = ConvNet(architecture)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.05, 1.0)
        elif name.endswith("running_mean"):
            tensor.normal_(0.0, 0.3)
        elif name.startswith("bn") and name.endswith("weight"):
            # Some are negative, as can happen in training.
            tensor.normal_(1.0, 0.6)
        elif name.endswith("bias"):
            tensor.normal_(0.2, 0.7)
    return model.to(memory_format=torch.channels_last).eval()


def block_maps(model: ConvNet, i: int, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the maps of block i of the built-in network at each measurement point, computed with its modules."""
    x = inputs
    for earlier in range(1, i + 1):
        conv = getattr(model, f"conv{earlier}")(x)
        bn = getattr(model, f"bn{earlier}")(conv)
        x = torch.max_pool2d(bn.clamp(min=0), 2)
    return {"conv": conv, "bn": bn, "relu": bn.clamp(min=0), "pool": x}


def after_block(model: ConvNet, i: int, pooled: torch.Tensor) -> torch.Tensor:
    """Return the logits of the built-in network, given the pooled maps of block i, computed with its modules."""
    x, hidden = pooled, len(model.architecture.hidden)
    for later in range(i + 1, len(model.architecture.channels) + 1):
        x = getattr(model, f"bn{later}")(getattr(model, f"conv{later}")(x))
        x = torch.max_pool2d(x.clamp(min=0), 2)
    x = x.flatten(1)
    for layer in range(1, hidden + 1):
        x = getattr(model, f"linear{layer}")(x).clamp(min=0)
    return getattr(model, f"linear{hidden + 1}")(x)


def layer_of(model: ConvNet, path: str) -> PrunableLayer:
    """Return a layer of the built-in network."""
    return PrunableLayer(model, path, model.input_shape)


def random_split(architecture: Architecture, seed: int, images: int = 7, pairs: int = 12) -> Split:
    """Return random images and pairs of the size that a network expects."""
    rng = np.random.default_rng(seed)
    size = architecture.image_size
    pixels = rng.integers(0, 256, (images, architecture.in_channels // 2, size, size), dtype=np.uint8)
    index, labels = rng.integers(0, images, (pairs, 2)), rng.integers(0, 2, pairs)
    labels[:2] = (0, 1)
    return Split.of(pixels, index, labels, "cpu")


@pytest.fixture
def own_modules(monkeypatch):
    """Return a function that forgets what was imported from a user's folder; it also runs at the end."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)

    def forget() -> None:
        for name in list(sys.modules):
            if name.startswith(("users_network", "beside_")):
                del sys.modules[name]

    yield forget
    forget()
