"""Faults, with the real `snakemake`: kills, full disks, damaged and malicious files, two runs at once, clock changes.

With `--repeat-faults N`, each stage is killed N times, at different moments. A failed test prints its `--fault-seed`.
"""

import os
import pickle
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import yaml
from conftest import TINY, Study, environment, finished_study, preloaded_python, processes_in, wait_until
from prunecurve.provenance import seal

pytestmark = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="finds processes in /proc")
CURVE = "results/digits/curve.csv"
ROW = "seed0/conv3/sweep/l1_norm/structural/k5.csv"
FEATURES = "seed0/conv3/activations/test/features.npy"
SHAPE = "figures/shape.png"
# The network and its features have more than 1 MB each. Snakemake compares such files by their time, not by checksum.
LARGE = TINY.replace("hidden: [12, 6]", "hidden: [512, 400]").replace("[4, 6, 8]", "[4, 6, 40]")
LARGE = LARGE.replace("epochs: 2", "epochs: 1").replace("repairs: [none]", "repairs: [none], ks: [2, 3, 5]")
TARGETS = (CURVE, "results/digits/summary.csv", f"results/digits/{SHAPE}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "attempt" in metafunc.fixturenames:
        metafunc.parametrize("attempt", range(metafunc.config.getoption("repeat_faults")))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study with large artifacts and one figure, read only; `copied` copies it."""
    study = finished_study(tmp_path_factory, "finished-large", LARGE, *TARGETS)
    assert min(study.path(name).stat().st_size for name in ("seed0/model.pt", "seed0/conv3/layer.npy", FEATURES)) > 1e6
    return study


@pytest.fixture(scope="session")
def commands(finished: Study) -> dict[str, str]:
    """Return the command that Snakemake runs for each artifact, relative to the study's folder in the results."""
    found, outputs = {}, []
    # Jobs of a group are indented.
    for line in map(str.strip, finished.run("-n", "-p", "--forceall", *TARGETS).stdout.splitlines()):
        if line.startswith("output: "):
            outputs = [name.removeprefix("results/digits/") for name in line.split(": ", 1)[1].split(", ")]
        elif line.startswith("Shell command: "):
            found |= dict.fromkeys(outputs, line.removeprefix("Shell command: "))
    return found


def by_hand(study: Study, command: str, succeed: bool = False) -> str:
    """Run the command of a job in the study, without Snakemake; return what it prints."""
    done = subprocess.run(
        command,
        shell=True,
        cwd=study.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment() | {"PATH": f"{Path(preloaded_python()).parent}{os.pathsep}{os.environ['PATH']}"},
    )
    assert (done.returncode == 0) is succeed, done.stdout
    return done.stdout


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Return a generator with a new seed; a failed test reports the seed, so that the failure can be repeated."""
    seed = request.config.getoption("fault_seed")
    seed = random.SystemRandom().getrandbits(32) if seed is None else seed
    request.node.add_report_section("call", "moments", f"--fault-seed {seed}")
    return random.Random(seed)


def artifacts(study: Study) -> dict[str, bytes]:
    """Return all finished artifacts by name, except logs and the table that contains times."""
    results = study.folder / "results"
    return {
        str(path.relative_to(results)): path.read_bytes()
        for path in results.rglob("[!.]*")
        if path.is_file() and "logs" not in path.parts and path.name != "training.csv"
    }


def differing(study: Study, finished: Study) -> list[str]:
    """Return the names of the artifacts that differ from those of the undisturbed run."""
    whole = artifacts(finished)
    return [name for name, content in artifacts(study).items() if content != whole[name]]


def unfinished(study: Study) -> list[Path]:
    return list((study.folder / "results").rglob(".unfinished-*"))


def processes(study: Study, name: str = "") -> list[int]:
    """Return the processes that run in a study's folder: all, those of `snakemake`, or those of a script."""
    # A fork of preloaded.py has the name of what it runs; the kernel keeps 15 letters.
    return [each.pid for each in processes_in(study.folder) if not name or each.info["name"] == name[:15]]


def delete(study: Study, *names: str) -> None:
    for path in map(study.path, names):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


class Stage(NamedTuple):
    """A rule's script, its approximate duration, its first outputs, and the results that depend on them."""

    script: str
    seconds: float
    outputs: tuple[str, ...]
    after: tuple[str, ...] = ()


TABLES = ("curve.csv", "summary.csv")
LATER = (*TABLES, "figures")
STAGES = [
    Stage("train", 2.0, ("seed0/model.pt", "seed0/training.csv"), ("seed0/conv3", *LATER)),
    Stage("collect_activations", 1.0, ("seed0/conv3/activations",), ("seed0/conv3", *LATER)),
    Stage("eval_pruned", 0.5, ("seed0/conv3/sweep",), LATER),
    Stage("aggregate", 0.5, TABLES, ("figures",)),
]


def start_from(stage: Stage, study: Study, target: str = CURVE) -> subprocess.Popen:
    """Delete the outputs of a stage and all later ones, start `snakemake`, and return when a job of the stage runs.

    A job that was too short to be seen counts, too: then the run has ended successfully.
    """
    # A job of an earlier run is not one of this run.
    assert wait_until(lambda: not processes(study, stage.script))
    for name in (*stage.outputs, *stage.after):
        if study.path(name).exists():
            delete(study, name)
    driver = study.start(target, python=preloaded_python())
    assert wait_until(lambda: processes(study, stage.script) or driver.poll() is not None), study.output
    assert not driver.poll(), study.output
    return driver


def kill_snakemake(study: Study) -> bool:
    """Kill Snakemake, not its jobs; return whether it still ran."""
    return any([end_by_force(process) for process in processes(study, "snakemake")])


def wait_for_a_moment(stage: Stage, study: Study, rng: random.Random) -> str:
    """Wait for a random moment of the stage or, with probability 0.5, for a moment when files are written."""
    if rng.random() < 0.5:
        time.sleep(rng.uniform(0, stage.seconds))
        return "at any time"
    results, wanted = study.folder / "results", rng.choice([1, 1, 2, 3])

    def there() -> set[Path]:
        return {path for path in results.rglob("*") if "logs" not in path.parts and path.is_file()}

    before = there()
    wait_until(lambda: len(there() - before) >= wanted or not processes(study), 20)
    time.sleep(rng.choice([0, rng.uniform(0, 0.01)]))
    return "while writing"


def end_by_force(process: int) -> bool:
    """Kill a process; return whether it still existed."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(autouse=True)
def no_process_stays(request: pytest.FixtureRequest) -> Iterator[None]:
    """Kill all remaining processes of a study, also if a test fails."""
    study = request.getfixturevalue("copied") if "copied" in request.fixturenames else None
    yield
    for process in processes(study) if study else ():
        end_by_force(process)


def kill(victim: str, stage: Stage, driver: subprocess.Popen, study: Study, rng: random.Random) -> bool:
    """Kill all processes, the driver or a job at a random moment of the stage; return whether something was killed."""
    when = wait_for_a_moment(stage, study, rng)
    if victim == "job":
        killed = any([end_by_force(process) for process in processes(study, stage.script)[:1]])
        failed = driver.wait(120) != 0
        # A process can still be there although its work is done: then nothing fails.
        assert killed or not failed, study.output
        if failed:
            assert f"Failed {stage.script}" in study.output
    else:
        killed = kill_snakemake(study)
        for process in processes(study) if victim == "all" else ():
            end_by_force(process)
        driver.wait(60)
        if victim == "all":
            assert wait_until(lambda: not processes(study), 10), "a job survived the kill of all processes"
        # Jobs continue without their driver. In half of the cases, the next command starts before they end.
        elif rng.random() < 0.5:
            assert wait_until(lambda: not processes(study))
    print(f"{stage.script}, {victim}: {'killed ' + when if killed else 'had ended'}")
    return killed


@pytest.mark.parametrize("victim", ["all", "driver", "job"])
def test_killed_at_any_moment_the_same_command_ends_with_the_same_bytes(finished, copied, rng, victim, attempt):
    """In each stage, a kill. The command that goes on after it is the one that is killed in the next stage."""
    for stage in STAGES:
        driver = start_from(stage, copied)
        killed = kill(victim, stage, driver, copied, rng)
        locked = any(copied.folder.glob(".snakemake/locks/*"))
        assert locked is (victim != "job" and killed) or copied.path("curve.csv").exists()
        assert differing(copied, finished) == [], "a partly written file has its final name"
        if locked:
            # The answer is the same after all kills, and each question takes seconds.
            if stage is STAGES[-1]:
                assert "--unlock" in copied.run(CURVE, succeed=False).stdout
            copied.run("--unlock")
    copied.run(CURVE)
    assert wait_until(lambda: not processes(copied)), "a process is still running"
    assert differing(copied, finished) == []
    assert {"digits/curve.csv", "digits/seed0/conv3/layer.npy", "digits/seed0/model.pt"} <= set(artifacts(copied))
    assert unfinished(copied) == []
    assert copied.plan(CURVE) == {}


@pytest.mark.parametrize(
    ("stage", "target"),
    [
        (STAGES[0]._replace(after=("seed0/conv3/activations",)), FEATURES),
        (STAGES[1]._replace(after=(ROW,)), ROW),
    ],
    ids=["train", "collect_activations"],
)
def test_a_job_that_ends_after_the_next_run_changes_nothing(finished, copied, stage, target):
    """The job outlives its killed driver, and the next run has made the same artifacts when the job ends.

    The target depends on these artifacts. It would be made again if they had a new time.
    """
    target = f"results/digits/{target}"
    driver = start_from(stage, copied, target)
    (late,) = processes(copied, stage.script)[:1]
    os.kill(late, signal.SIGSTOP)
    kill_snakemake(copied)
    driver.wait(60)
    copied.run("--unlock")
    copied.run(target)
    large = [path for path in copied.path("seed0").rglob("[!.]*") if path.suffix in (".npy", ".pt")]
    times = {path: path.stat().st_mtime_ns for path in large}
    assert {copied.path("seed0/model.pt"), copied.path(FEATURES)} <= times.keys()
    os.kill(late, signal.SIGCONT)
    assert wait_until(lambda: not processes(copied)), "the late job does not end"
    assert {path: path.stat().st_mtime_ns for path in large} == times
    assert copied.plan(target) == {} and differing(copied, finished) == [] and unfinished(copied) == []


def test_a_forced_run_gives_the_same_bytes_a_new_time(finished, copied):
    model, features = (copied.path(name) for name in ("seed0/model.pt", FEATURES))
    before = model.stat().st_mtime_ns, features.stat().st_mtime_ns
    copied.run("results/digits/seed0/model.pt", "--forcerun", "train")
    assert model.stat().st_mtime_ns > before[0] and features.stat().st_mtime_ns == before[1]
    assert differing(copied, finished) == []
    copied.run(CURVE)
    assert features.stat().st_mtime_ns > before[1], "Snakemake compares large files by time"
    assert copied.plan(CURVE) == {} and differing(copied, finished) == []


# ---- disks


class Disk:
    """A small file system, mounted in place of a folder of a study, with the contents of the folder."""

    def __init__(self, folder: Path) -> None:
        if os.geteuid() != 0:
            pytest.skip("needs root, to mount a small file system")
        self.folder, away = folder, folder.with_name(f"{folder.name}-away")
        folder.rename(away)
        folder.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", folder], stderr=subprocess.PIPE)
        if done.returncode:
            pytest.skip(f"needs to mount a file system: {done.stderr.decode().strip()}")
        shutil.copytree(away, folder, symlinks=True, dirs_exist_ok=True)

    def remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", self.folder], check=True)

    def leave(self, free: int) -> None:
        """Make the disk so small that at most `free` bytes are free."""
        disk = os.statvfs(self.folder)
        self.remount(f"size={(disk.f_blocks - disk.f_bfree) * disk.f_frsize + free}")


@pytest.fixture
def disk_at(copied: Study) -> Iterator:
    """Return a function that replaces a folder of the study `copied` by a `Disk`."""
    yield lambda name: Disk(copied.folder / name)
    for folder in filter(os.path.ismount, copied.folder.iterdir()):
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize(
    ("deleted", "free", "named", "target"),
    [
        # With a target, Snakemake runs the jobs. The others run by hand.
        (["seed0/model.pt", "seed0/training.csv"], 0, "seed0/model.pt", ""),
        (["seed0/conv3/activations"], 120_000, FEATURES, FEATURES),
        ([ROW, *TABLES], 0, ROW, "curve.csv"),
        (["curve.csv", "curve.csv.settings"], 0, "curve.csv", ""),
        ([SHAPE, "figures/shape.svg"], 0, SHAPE, ""),
    ],
    ids=["train", "collect_activations", "eval_pruned", "aggregate", "plot"],
)
def test_a_full_disk_is_reported_and_with_more_room_the_same_command_goes_on(
    finished, copied, commands, disk_at, deleted, free, named, target
):
    # A log that is written again would free as much space as a small table needs.
    delete(copied, *deleted, "logs", "seed0/logs")
    disk = disk_at("results")
    disk.leave(free)

    def run(succeed: bool) -> str:
        if target:
            return copied.run(f"results/digits/{target}", succeed=succeed).stdout
        return by_hand(copied, commands[named], succeed)

    output = run(succeed=False)
    folder = copied.path(named).parent
    assert f"results/digits/{named} cannot be written: no space is left in {folder}; free disk space" in output
    assert "Traceback" not in output and "Logging error" not in output and "SIGBUS" not in output
    assert unfinished(copied) == [] and differing(copied, finished) == [] and not copied.path(named).exists()
    disk.remount("size=16m")
    run(succeed=True)
    assert differing(copied, finished) == []
    assert artifacts(copied).keys() >= {f"digits/{named}", "digits/curve.csv"}


def test_results_that_may_only_be_read_stay_whole(finished, copied, disk_at):
    """Snakemake reports it. A script that is called by hand reports it too, even if it cannot write its log."""
    delete(copied, ROW, *TABLES)
    disk = disk_at("results")
    disk.remount("ro")
    output = copied.run(CURVE, succeed=False).stdout
    assert "Read-only file system" in output or "Write-protected output files" in output
    assert differing(copied, finished) == []
    figure = "python workflow/scripts/plot.py --figure shape --data results/digits/shape.csv --svg a.svg"
    for log, named in (("away.log", "results/a.png"), ("results/away.log", "results/away.log")):
        output = by_hand(copied, f"{figure} --png results/a.png --log {log}")
        assert output.startswith(f"plot: {named} cannot be written: {copied.folder}/results is read-only")
        assert "Traceback" not in output
    disk.remount("rw")
    copied.run(CURVE)
    assert differing(copied, finished) == []
    assert "digits/curve.csv" in artifacts(copied)


def test_snakemakes_own_folder_on_a_full_disk(finished, copied, disk_at):
    """Snakemake prints a traceback that ends with the reason. Results stay intact; with more space the run works."""
    delete(copied, ROW, *TABLES)
    # A record that is written again would need no more space. With 12 kB, the locks fit and the first record does not.
    shutil.rmtree(copied.folder / ".snakemake" / "metadata")
    disk = disk_at(".snakemake")
    for free in (12288, 0):
        disk.leave(free)
        assert "No space left on device" in copied.run(CURVE, succeed=False).stdout
        assert differing(copied, finished) == []
    disk.remount("size=16m")
    copied.run(CURVE)
    assert differing(copied, finished) == [] and "digits/curve.csv" in artifacts(copied)


# ---- damaged and malicious files


class Bomb:
    """An object that creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


def hostile(path: Path, marker: Path) -> Iterator[bytes]:
    """Yield contents for a file that run code when they are unpickled, the last one with a correct checksum."""
    yield pickle.dumps(Bomb(marker))
    file = marker.with_name(f"bomb{path.suffix}")
    if path.suffix == ".npy":
        np.save(file, np.array([Bomb(marker)], dtype=object), allow_pickle=True)
        np.load(file, allow_pickle=True)
    elif path.suffix == ".pt":
        torch.save({"architecture": {}, "state": Bomb(marker)}, file)
        torch.load(file, weights_only=False)
    else:
        return
    marker.unlink()  # loading it without care did run the command
    yield file.read_bytes()
    seal(str(file))
    yield file.read_bytes()


# Artifacts and the output of a job that reads each. No job reads two artifacts of its group, or what another one makes.
@pytest.mark.parametrize(
    "readers",
    [
        {"source/images.npy": "seed0/images/test.npy"},
        {"seed0/images/test.npy": FEATURES, "seed0/conv3/layer.npy": "seed0/conv3/ranking/l1_norm.csv"},
        {
            "seed0/labels/test.npy": ROW,
            "seed0/conv3/activations/test/channels.csv": "seed0/conv3/ranking/mean_activation.csv",
        },
        {"seed0/model.pt": FEATURES},
        {FEATURES: ROW},
        {
            "seed0/conv3/partial_sums/l1_norm.npy": ROW,
            "seed0/conv3/ranking/mean_activation.csv": ROW.replace("l1_norm", "mean_activation"),
        },
        {ROW: "curve.csv"},
    ],
    ids=lambda readers: ", ".join(readers),
)
def test_a_damaged_or_hostile_artifact_is_named_and_never_run(finished, copied, commands, rng, tmp_path, readers):
    """The modification time stays the same, so that Snakemake does not create the file again.

    The jobs run by hand on each kind of damage, and in Snakemake on the worst one.
    """
    marker = tmp_path / "marker"

    def damage(name: str, content: bytes) -> None:
        times = finished.path(name).stat()
        copied.path(name).write_bytes(content)
        os.utime(copied.path(name), ns=(times.st_atime_ns, times.st_mtime_ns))
        copied.path(readers[name]).unlink(missing_ok=True)

    def require_named(name: str, output: str) -> None:
        assert not marker.exists()
        assert f"results/digits/{name} " in output and "delete it and run again" in output, output
        assert "Traceback" not in output and not copied.path(readers[name]).exists()

    worst = {}
    for name, reader in readers.items():
        whole = copied.path(name).read_bytes()
        flipped = bytearray(whole)
        flipped[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        # A CSV file without its last byte, a line feed, is still complete.
        cut = whole[: rng.randrange(len(whole) - 1)]
        *others, worst[name] = (cut, bytes(flipped), *hostile(copied.path(name), marker))
        for content in others:
            damage(name, content)
            require_named(name, by_hand(copied, commands[reader]))
    for name, content in worst.items():
        damage(name, content)
    targets = [f"results/digits/{reader}" for reader in readers.values()]
    output = copied.run("--keep-going", *targets, succeed=False).stdout
    for name in readers:
        require_named(name, output)
    delete(copied, *readers)
    copied.run(*targets)
    assert differing(copied, finished) == []
    assert artifacts(copied).keys() >= {f"digits/{name}" for name in (*readers, *readers.values())}


HOSTILE_YAML = "seeds: !!python/object/apply:os.system ['touch {}']"


def test_a_config_that_would_run_code_is_refused(copied, tmp_path):
    marker = tmp_path / "marker"
    text = HOSTILE_YAML.format(marker)
    yaml.unsafe_load(text)
    marker.unlink()  # unsafe_load did run the command
    (tmp_path / "hostile.yaml").write_text(text)
    output = copied.run("-n", "--configfile", str(tmp_path / "hostile.yaml"), succeed=False).stdout
    assert "Config file is not valid JSON or YAML" in output
    output = copied.run("-n", "--config", text.replace("seeds: ", "seeds="), succeed=False).stdout
    assert "seeds.0: 'touch" in output and "is not allowed; allowed: whole number" in output
    (copied.folder / "config.yaml").write_text(text)
    assert "Config file is not valid JSON or YAML" in copied.run("-n", succeed=False).stdout
    assert not marker.exists()


# ---- two runs at once, clock changes


def test_a_second_run_is_refused_and_the_first_is_unharmed(finished, copied):
    first = start_from(STAGES[2], copied)
    # The first run does not end before the second one has started.
    running = processes(copied, "snakemake")
    for process in running:
        os.kill(process, signal.SIGSTOP)
    output = copied.run(CURVE, succeed=False).stdout
    assert "Directory cannot be locked" in output and "no other Snakemake process" in output
    for process in running:
        os.kill(process, signal.SIGCONT)
    assert first.wait(120) == 0, copied.output
    assert differing(copied, finished) == [] and "digits/curve.csv" in artifacts(copied)
    assert copied.plan(CURVE) == {}


def test_a_clock_set_back_is_reported_and_one_time_for_all_files_helps(finished, copied):
    """Existing files have times in the future. Snakemake rejects outputs that are older than their inputs."""
    delete(copied, ROW, *TABLES)
    results = copied.folder / "results"
    # An hour ahead, then a day.
    for more in (3600, 86400 - 3600):
        for path in results.rglob("*"):
            os.utime(path, ns=tuple(t + more * 10**9 for t in (path.stat().st_atime_ns, path.stat().st_mtime_ns)))
        assert "clock skew" in copied.run(CURVE, succeed=False).stdout
        assert differing(copied, finished) == [] and not copied.path(ROW).exists()
    subprocess.run('find results -exec touch -d "$(date)" {} +', shell=True, cwd=copied.folder, check=True)
    times = {name: (results / name).stat().st_mtime_ns for name in artifacts(copied)}
    copied.run(CURVE)
    made = {name for name in artifacts(copied) if times.get(name) != (results / name).stat().st_mtime_ns}
    assert made == {f"digits/{ROW}", "digits/curve.csv", "digits/curve.csv.settings"}, "only what was deleted"
    assert differing(copied, finished) == []
    assert copied.plan(CURVE) == {}
