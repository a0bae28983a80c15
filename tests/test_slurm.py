"""Both cluster profiles on a real Slurm, and their scripts with simulated Slurm commands.

These tests start a Slurm on this machine (slurm.py). If this is not possible, the tests that need it are skipped.
"""

import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import slurm as cluster
from conftest import PROJECT, Study, environment

GENERIC, PLUGIN = "profiles/slurm-generic", "profiles/slurm"
SCRIPTS = PROJECT / GENERIC
# Slurm starts the jobs, with the environment of the process that submits them.
pytestmark = pytest.mark.usefixtures("jobs_with_a_new_python")
CURVE = "results/digits/curve.csv"
# Few evaluations, because each starts its own Snakemake if it is not grouped or if the plugin runs it.
UNSWEPT = [2, 3, 5, 7]
# Shorter waiting times than in the profiles, because the study is small and the file system is local.
HASTE = {
    GENERIC: ["--latency-wait", "5", "--seconds-between-status-checks", "1"],
    PLUGIN: ["--latency-wait", "5", "--slurm-init-seconds-before-status-checks", "4"],
}


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Start a Slurm with four nodes. After it stops, no process of a study may still run."""
    if reason := cluster.obstacle():
        pytest.skip(reason)
    studies = tmp_path_factory.getbasetemp()
    instance = cluster.Slurm(tmp_path_factory.mktemp("slurm") / "run")
    try:
        yield instance.start()
    finally:
        instance.stop()
    cluster.wait_until(lambda: not cluster.processes_in(studies), 20, "the end of all processes of studies")


@pytest.fixture
def unswept(copied) -> Study:
    """Return the finished study without some evaluations and without the curve."""
    for k in UNSWEPT:
        copied.path(f"seed0/conv3/sweep/l1_norm/structural/k{k}.csv").unlink()
    copied.path("curve.csv").unlink()
    return copied


def arguments(profile: str, *more: str) -> list[str]:
    return [*more, "--profile", profile, *HASTE[profile]]


class Driver:
    """A `snakemake` process that runs in parallel with the test."""

    def __init__(self, study: Study, profile: str, *more: str) -> None:
        self.output = study.folder / "driver.log"
        with self.output.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "snakemake", "--cores", "2", CURVE, *arguments(profile, *more)],
                cwd=study.folder,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment(),
            )

    def succeeds(self) -> str:
        """Wait for the end of the process, check that it succeeded, and return its output."""
        code = self.process.wait(timeout=300)
        output = self.output.read_text()
        assert code == 0, output
        return output


def running(study: Study) -> list[str]:
    """Return the numbers of the study's running jobs."""
    lines = cluster.call("squeue", "-h", "--states=RUNNING", "-o", "%i %Z").splitlines()
    return [line.split()[0] for line in lines if line.split()[1] == str(study.folder)]


def wait_for_a_job(study: Study, driver: Driver) -> str:
    """Wait for the first running job and return its number."""
    found: list[str] = []

    def runs() -> bool:
        found[:] = running(study)
        return bool(found) or driver.process.poll() is not None

    cluster.wait_until(runs, 120, "a running job")
    assert found, driver.output.read_text()
    return found[0]


def same_curve(study: Study, finished: Study) -> bool:
    return study.path("curve.csv").read_bytes() == finished.path("curve.csv").read_bytes()


# ---- the same numbers


def test_a_study_through_slurm_has_the_same_bytes_as_a_local_one(slurm, study, finished):
    """The whole study: one job per stage, grouped evaluations. Snakemake also reads the default profile."""
    output = study.run(*arguments(GENERIC, CURVE)).stdout
    assert same_curve(study, finished)
    assert "workflow specific profile profiles/default" in output
    jobs = cluster.call("squeue", "-h", "--states=all", "-o", "%k %C %m %Z").splitlines()
    jobs = [job.removesuffix(f" {study.folder}") for job in jobs if job.endswith(f" {study.folder}")]
    jobs = sorted(re.sub(r"/\w{12} ", " ", job) for job in jobs)
    assert jobs == [
        "aggregate 1 1000M",
        "collect_activations 2 2000M",
        "describe_layer 1 2000M",
        "evaluations 2 1000M",
        "make_pairs 1 1000M",
        "rank_channels 1 2000M",
        "rank_channels 1 2000M",
        "sums 2 1000M",
        "train 2 2000M",
    ]


def test_single_jobs_have_the_same_bytes_as_grouped_ones(slurm, unswept, finished):
    """Also, all jobs go to the requested partition."""
    single = ["--group-components", "evaluations=1", "--default-resources", "slurm_partition=other"]
    output = unswept.run(*arguments(GENERIC, CURVE, *single)).stdout
    assert output.count("Submitted group job") == len(UNSWEPT)
    jobs = cluster.call("squeue", "-h", "--states=all", "-o", "%P %Z").splitlines()
    assert jobs.count(f"other {unswept.folder}") == len(UNSWEPT) + 1
    assert same_curve(unswept, finished)


def test_one_allocation_runs_the_local_executor(slurm, unswept, finished):
    words = [sys.executable, "-m", "snakemake", "--cores", "2", CURVE]
    cluster.call("sbatch", "--wait", "--cpus-per-task=2", f"--chdir={unswept.folder}", "--wrap", " ".join(words))
    assert same_curve(unswept, finished)


# ---- failures on a cluster


@pytest.mark.parametrize("profile", [GENERIC, PLUGIN])
def test_a_cancelled_job_is_done_again(slurm, unswept, finished, profile):
    driver = Driver(unswept, profile)
    cluster.call("scancel", wait_for_a_job(unswept, driver))
    output = driver.succeeds()
    assert "Trying to restart" in output
    assert same_curve(unswept, finished)


def test_a_controller_that_restarts_is_waited_for(slurm, unswept, finished):
    driver = Driver(unswept, GENERIC)
    wait_for_a_job(unswept, driver)
    slurm.stop_controller()
    time.sleep(12)  # several polls
    slurm.start_controller()
    output = driver.succeeds()
    assert "Trying to restart" not in output
    assert same_curve(unswept, finished)


def test_a_killed_driver_leaves_jobs_to_cancel_and_the_same_command_goes_on(slurm, unswept, finished):
    driver = Driver(unswept, GENERIC)
    job = wait_for_a_job(unswept, driver)
    driver.process.send_signal(signal.SIGKILL)
    driver.process.wait()
    assert job in running(unswept), "the job continues, and a new run would start the same job again"
    cluster.call("scancel", "--name=prunecurve")
    cluster.wait_until(lambda: not running(unswept), 30, "cancelled jobs")
    assert "--unlock" in unswept.run(*arguments(GENERIC, CURVE), succeed=False).stdout
    unswept.run("--unlock")
    unswept.run(*arguments(GENERIC, CURVE))
    assert same_curve(unswept, finished)


@pytest.mark.parametrize("profile", [GENERIC, PLUGIN])
def test_a_failing_job_names_its_log(slurm, unswept, profile):
    """The log of the rule and the log of Slurm both contain the reason."""
    sums = unswept.path("seed0/conv3/partial_sums/l1_norm.npy")
    sums.write_bytes(sums.read_bytes()[:-100])
    row = "results/digits/seed0/conv3/sweep/l1_norm/structural/k5.csv"
    output = unswept.run(*arguments(profile, row, "--retries", "0"), succeed=False).stdout
    log = "results/digits/seed0/logs/eval_pruned/conv3/l1_norm/structural/k5.log"
    assert log in output.split("Error in", 1)[1]
    assert "l1_norm.npy is damaged" in (unswept.folder / log).read_text()
    logs = list((unswept.folder / ".snakemake" / "slurm_logs").rglob("*.log"))
    assert any("l1_norm.npy is damaged" in path.read_text() for path in logs)


def test_a_full_queue_is_waited_for(slurm, unswept, finished):
    """A thousand held jobs of another user fill the queue, so sbatch fails until the limit is raised."""
    held = cluster.call("sbatch", "--parsable", "--hold", "--uid=nobody", "--array=1-1000", "--wrap", "true").strip()
    known = len(cluster.call("squeue", "-h", "-r", "--states=all").splitlines())

    def allow(jobs: int) -> None:
        slurm.stop_controller()
        slurm.configure(most_jobs=jobs)
        slurm.start_controller()

    def refused() -> bool:
        return any(command.startswith("sbatch") for command in cluster.processes_in(unswept.folder))

    try:
        allow(known)
        driver = Driver(unswept, GENERIC)
        cluster.wait_until(refused, 60, "a submission")
        time.sleep(8)
        assert refused() and not running(unswept)
        allow(10000)
        driver.succeeds()
    finally:
        if slurm.settings["most_jobs"] != 10000:
            allow(10000)
        cluster.call("scancel", held)
    assert same_curve(unswept, finished)


# ---- the profiles' scripts, with simulated Slurm commands


@pytest.fixture
def played(tmp_path, monkeypatch):
    """Return a function (name, script) that puts a simulated command first on PATH; its calls are logged in `calls`."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)

    def play(name: str, script: str) -> None:
        path = tmp_path / "bin" / name
        path.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n{script}\n')
        path.chmod(0o755)

    return play


def status(job: object) -> str:
    """Call status.py as Snakemake does, and return its output."""
    words = [sys.executable, "-I", "-S", str(SCRIPTS / "status.py"), str(job)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def calls() -> list[str]:
    return Path("calls").read_text().splitlines()


def outdate() -> None:
    """Make the stored job states look old."""
    os.utime(".snakemake/slurm_states.txt", (0, 0))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        *((state, "running") for state in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED")),
        ("COMPLETED", "success"),
        *((state, "failed") for state in ("FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "PREEMPTED")),
    ],
)
def test_states_mean_running_success_or_failed(played, state, expected):
    played("squeue", f"echo '7 {state}'")
    assert status(7) == expected


def test_slurm_is_asked_once_for_hundreds_of_jobs(played):
    played("squeue", "for i in $(seq 300); do echo $i RUNNING; done")
    assert {status(job) for job in range(1, 300, 30)} == {"running"}
    assert calls() == ["--me --states=all --noheader --format=%i %T"]
    played("squeue", "for i in $(seq 300); do echo $i COMPLETED; done")
    assert status(1) == "running"
    outdate()
    assert status(1) == "success"
    assert [path.name for path in Path(".snakemake").iterdir()] == ["slurm_states.txt"]


def test_a_job_submitted_since_is_asked_for_by_itself(played):
    played("squeue", 'case "$*" in *--jobs=8*) echo 8 PENDING;; *) echo 7 RUNNING;; esac')
    assert (status(7), status(8)) == ("running", "running")
    assert calls()[1].startswith("--jobs=8 ")


def test_a_job_that_slurm_has_forgotten_is_done_again(played):
    played(
        "squeue", 'case "$*" in *--jobs=*) echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1;; esac'
    )
    assert status(7) == "failed"


def test_jobs_run_while_the_controller_is_away(played):
    """Unknown jobs count as running too. Jobs that are known to have ended keep their status."""
    away = 'echo "slurm_load_jobs error: Unable to contact slurm controller (connect failure)" >&2; exit 1'
    played("squeue", away)
    assert status(7) == "running"
    played("squeue", "echo '7 RUNNING'; echo '8 COMPLETED'")
    outdate()
    assert (status(7), status(8)) == ("running", "success")
    played("squeue", away)
    outdate()
    assert (status(7), status(8), status(9)) == ("running", "success", "running")


def script_of(properties: str) -> str:
    Path("job.sh").write_text(f"#!/bin/sh\n# properties = {properties}\n")
    return "job.sh"


def test_a_job_asks_for_what_its_rule_says_and_no_more(played):
    played("sbatch", "echo '12;cluster'")
    job = '{"rule": "train", "threads": 2, "resources": {"mem_mb": 4000, "runtime": 120, "gpu": 1, "disk_mb": 9}}'
    group = '{"groupid": "sums", "threads": 4, "resources": {"mem_mb": 2000, "gpu": 0, "slurm_partition": "long"}}'
    for properties in (job, group):
        words = [sys.executable, str(SCRIPTS / "submit.py"), script_of(properties)]
        assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "12\n"
    logs = ".snakemake/slurm_logs"
    common = "--parsable --job-name=prunecurve --comment="
    marks = [re.search(r"/(\w{12}) ", call)[1] for call in calls()]
    assert len(set(marks)) == 2, "each job has its own"
    assert [re.sub(r"/\w{12} ", " ", call) for call in calls()] == [
        f"{common}train --output={logs}/train/%j.log --cpus-per-task=2 --mem=4000 --time=120 --gpus=1 job.sh",
        f"{common}sums --output={logs}/sums/%j.log --cpus-per-task=4 --mem=2000 --partition=long job.sh",
    ]
    assert Path(logs, "train").is_dir() and Path(logs, "sums").is_dir()


def test_a_refusal_that_passes_is_waited_for_and_another_is_told(played, monkeypatch, capsys):
    submit = runpy.run_path(str(SCRIPTS / "submit.py"))["submit"]
    monkeypatch.setitem(submit.__globals__, "TRY_AGAIN_AFTER", 0)
    limit = "sbatch: error: AssocMaxSubmitJobLimit"
    played("squeue", "echo '4 train/another'")
    played("sbatch", f'[ "$(grep -c job.sh calls)" -gt 3 ] && echo 5 || {{ echo "{limit}" >&2; exit 1; }}')
    assert submit(["sbatch", "job.sh"], "mark") == "5"
    assert calls().count("job.sh") == 4
    played("sbatch", "echo 'sbatch: error: invalid partition specified: nowhere' >&2; exit 1")
    with pytest.raises(SystemExit, match="sbatch failed"):
        submit(["sbatch", "job.sh"], "mark")
    assert "invalid partition specified: nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    "message", ["Socket timed out on send/recv operation", "Zero Bytes were transmitted or received"]
)
def test_a_job_whose_sbatch_timed_out_but_went_through_is_submitted_once(played, monkeypatch, message):
    """squeue fails at first, as the controller is busy. The job is not submitted before squeue answers."""
    submit = runpy.run_path(str(SCRIPTS / "submit.py"))["submit"]
    monkeypatch.setitem(submit.__globals__, "TRY_AGAIN_AFTER", 0)
    played("sbatch", f"echo 'sbatch: error: Batch job submission failed: {message}' >&2; exit 1")
    played("squeue", '[ "$(wc -l < calls)" -gt 3 ] || exit 1; echo "7 sums/other"; echo "8 train/mark"')
    assert submit(["sbatch", "job.sh"], "mark") == "8"
    assert calls().count("job.sh") == 1 and len(calls()) == 4
    assert calls()[1] == "--me --name=prunecurve --states=all --noheader --format=%i %k"


def test_a_real_job_is_found_by_its_mark(slurm, tmp_path, monkeypatch):
    find = runpy.run_path(str(SCRIPTS / "submit.py"))["find"]
    words = ["--parsable", "--job-name=prunecurve", f"--chdir={tmp_path}", "--wrap", "true"]
    numbers = {mark: cluster.call("sbatch", f"--comment=train/{mark}", *words).strip() for mark in ("ab12", "cd34")}
    assert {mark: find(mark) for mark in numbers} == numbers and find("12") is None


@pytest.mark.parametrize(("device", "asked"), [("cuda", True), ("auto", False)])
def test_training_asks_for_a_gpu_where_the_study_does(study, device, asked):
    output = study.run("-n", "results/digits/seed0/model.pt", "--config", f"device={device}").stdout
    assert ("gpu=1" in output) is asked
