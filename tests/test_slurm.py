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
from conftest import PROJECT, Study, processes_in, wait_until

GENERIC, PLUGIN = "profiles/slurm-generic", "profiles/slurm"
SCRIPTS = PROJECT / GENERIC
CURVE = "results/digits/curve.csv"
ROW = "results/digits/seed0/conv3/sweep/l1_norm/structural/k{}.csv"
# Few evaluations, because each starts its own Snakemake if it is not grouped or if the plugin runs it.
UNSWEPT = [3, 5]
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
    assert wait_until(lambda: not processes_in(studies), 20)


@pytest.fixture
def unswept(copied) -> Study:
    """Return the finished study without some evaluations and without the curve."""
    for name in [CURVE, *(ROW.format(k) for k in UNSWEPT)]:
        (copied.folder / name).unlink()
    return copied


def arguments(profile: str, *more: str) -> list[str]:
    return [*more, "--profile", profile, *HASTE[profile]]


def succeeds(driver: subprocess.Popen, study: Study) -> str:
    """Wait for the end of a run, check that it succeeded, and return its output."""
    assert driver.wait(timeout=300) == 0, study.output
    return study.output


def jobs_in_slurm(study: Study, form: str, states: str = "all") -> list[str]:
    """Return what squeue prints of each job of the study."""
    lines = cluster.call("squeue", "-h", f"--states={states}", "-o", f"{form} %Z").splitlines()
    return [line.removesuffix(f" {study.folder}") for line in lines if line.endswith(f" {study.folder}")]


def running(study: Study) -> list[str]:
    """Return the numbers of the study's running jobs."""
    return jobs_in_slurm(study, "%i", "RUNNING")


def wait_for_a_job(study: Study, driver: subprocess.Popen) -> str:
    """Wait for the first running job and return its number."""
    assert wait_until(lambda: running(study) or driver.poll() is not None)
    assert driver.poll() is None, study.output
    return running(study)[0]


def same(study: Study, finished: Study, name: str = CURVE) -> bool:
    return (study.folder / name).read_bytes() == (finished.folder / name).read_bytes()


def test_a_study_through_slurm_has_the_same_bytes_as_a_local_one(slurm, study, finished):
    """The whole study: one job per stage, grouped evaluations. Snakemake also reads the default profile."""
    output = study.run(*arguments(GENERIC, CURVE)).stdout
    assert same(study, finished)
    assert "workflow specific profile profiles/default" in output
    assert sorted(re.sub(r"/\w{12} ", " ", job) for job in jobs_in_slurm(study, "%k %C %m")) == [
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


def test_one_allocation_runs_the_local_executor(slurm, unswept, finished):
    words = [sys.executable, "-m", "snakemake", "--cores", "2", CURVE]
    cluster.call("sbatch", "--wait", "--cpus-per-task=2", f"--chdir={unswept.folder}", "--wrap", " ".join(words))
    assert same(unswept, finished)


SINGLE = ["--group-components", "evaluations=1", "--default-resources", "slurm_partition=other"]


@pytest.mark.parametrize(
    ("profile", "words", "jobs"), [(GENERIC, [CURVE, *SINGLE], len(UNSWEPT) + 1), (PLUGIN, [ROW.format(5)], 1)]
)
def test_a_cancelled_job_is_done_again(slurm, unswept, finished, profile, words, jobs):
    """With slurm-generic, each evaluation is a job of its own, and all go to the requested partition."""
    driver = unswept.start(*arguments(profile, *words))
    cluster.call("scancel", wait_for_a_job(unswept, driver))
    assert "Trying to restart" in succeeds(driver, unswept)
    assert same(unswept, finished, words[0])
    assert jobs_in_slurm(unswept, "%P") == ["other" if profile == GENERIC else "main"] * (jobs + 1)


def test_a_controller_that_is_away_and_a_full_queue_are_waited_for(slurm, unswept, finished):
    """A thousand held jobs of another user fill the queue: sbatch refuses the last job until the limit is raised."""
    held = cluster.call("sbatch", "--parsable", "--hold", "--uid=nobody", "--array=1-1000", "--wrap", "true").strip()
    driver = unswept.start(*arguments(GENERIC, CURVE))
    try:
        wait_for_a_job(unswept, driver)
        queued = len(cluster.call("squeue", "-h", "-r", "--states=all").splitlines())
        slurm.stop_controller()
        time.sleep(12)  # several polls
        slurm.configure(most_jobs=queued)
        slurm.start_controller()

        def refused() -> bool:
            return any(each.info["name"] == "sbatch" for each in processes_in(unswept.folder))

        assert wait_until(refused, 60)
        time.sleep(8)
        assert refused() and not running(unswept)
    finally:
        slurm.stop_controller()
        slurm.configure()
        slurm.start_controller()
        cluster.call("scancel", held)
    assert "Trying to restart" not in succeeds(driver, unswept)
    assert same(unswept, finished)


def test_a_killed_driver_leaves_jobs_to_cancel_and_the_same_command_goes_on(slurm, unswept, finished):
    driver = unswept.start(*arguments(GENERIC, CURVE))
    job = wait_for_a_job(unswept, driver)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert job in running(unswept), "the job continues, and a new run would start the same job again"
    cluster.call("scancel", "--name=prunecurve")
    assert wait_until(lambda: not running(unswept), 30)
    assert "--unlock" in unswept.run(*arguments(GENERIC, CURVE), succeed=False).stdout
    unswept.run("--unlock")
    unswept.run(*arguments(GENERIC, CURVE))
    assert same(unswept, finished)


@pytest.mark.parametrize("profile", [GENERIC, PLUGIN])
def test_a_failing_job_names_its_log(slurm, unswept, profile):
    """The log of the rule and the log of Slurm both contain the reason."""
    sums = unswept.path("seed0/conv3/partial_sums/l1_norm.npy")
    sums.write_bytes(sums.read_bytes()[:-100])
    output = unswept.run(*arguments(profile, ROW.format(5), "--retries", "0"), succeed=False).stdout
    log = "results/digits/seed0/logs/eval_pruned/conv3/l1_norm/structural/k5.log"
    assert log in output.split("Error in", 1)[1]
    logs = [unswept.folder / log, *unswept.folder.glob(".snakemake/slurm_logs/**/*.log")]
    assert sum("l1_norm.npy is damaged" in path.read_text() for path in logs) > 1


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


def status(job: int) -> str:
    return runpy.run_path(str(SCRIPTS / "status.py"))["status"](str(job))


def calls() -> list[str]:
    return Path("calls").read_text().splitlines()


def outdate() -> None:
    """Make the stored job states look old."""
    os.utime(".snakemake/slurm_states.txt", (0, 0))


AWAY = 'echo "slurm_load_jobs error: Unable to contact slurm controller (connect failure)" >&2; exit 1'
STATES = {
    "running": ["PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED"],
    "success": ["COMPLETED"],
    "failed": ["FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "PREEMPTED"],
}


def test_slurm_is_asked_once_for_the_states_of_all_jobs(played):
    """A state means running, success or failed. The answer is stored for some seconds."""
    jobs = [(state, expected) for expected, states in STATES.items() for state in states]
    played("squeue", "".join(f"echo {i} {state};" for i, (state, _) in enumerate(jobs)))
    assert [status(i) for i in range(len(jobs))] == [expected for _, expected in jobs]
    played("squeue", "echo 0 COMPLETED")
    assert status(0) == "running"
    assert calls() == ["--me --states=all --noheader --format=%i %T"]
    outdate()
    assert status(0) == "success"
    assert [path.name for path in Path(".snakemake").iterdir()] == ["slurm_states.txt"]


def test_a_job_that_is_not_in_the_answer_is_asked_for_alone(played):
    """It was submitted since, or Slurm has forgotten it; then it is done again."""
    unknown = 'echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1'
    played("squeue", f'case "$*" in *--jobs=8*) echo 8 PENDING;; *--jobs=*) {unknown};; *) echo 7 RUNNING;; esac')
    assert (status(7), status(8), status(9)) == ("running", "running", "failed")
    assert [call.split()[0] for call in calls()] == ["--me", "--jobs=8", "--jobs=9"]


def test_jobs_run_while_the_controller_is_away(played):
    """Unknown jobs count as running too. Jobs that are known to have ended keep their status."""
    played("squeue", AWAY)
    assert status(7) == "running"
    played("squeue", "echo '7 RUNNING'; echo '8 COMPLETED'")
    outdate()
    assert (status(7), status(8)) == ("running", "success")
    played("squeue", AWAY)
    outdate()
    assert (status(7), status(8), status(9)) == ("running", "success", "running")


def test_a_job_asks_for_what_its_rule_says_and_no_more(played):
    played("sbatch", "echo '12;cluster'")
    job = '{"rule": "train", "threads": 2, "resources": {"mem_mb": 4000, "runtime": 120, "gpu": 1, "disk_mb": 9}}'
    group = '{"groupid": "sums", "threads": 4, "resources": {"mem_mb": 2000, "gpu": 0, "slurm_partition": "long"}}'
    for properties in (job, group):
        Path("job.sh").write_text(f"#!/bin/sh\n# properties = {properties}\n")
        words = [sys.executable, str(SCRIPTS / "submit.py"), "job.sh"]
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


@pytest.fixture
def submit(monkeypatch):
    """The function of submit.py, without its pauses."""
    function = runpy.run_path(str(SCRIPTS / "submit.py"))["submit"]
    monkeypatch.setitem(function.__globals__, "TRY_AGAIN_AFTER", 0)
    return function


def test_a_refusal_that_passes_is_waited_for_and_another_is_reported(played, submit, capsys):
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
def test_a_job_whose_sbatch_timed_out_but_went_through_is_submitted_once(played, submit, message):
    """squeue fails at first, as the controller is busy. The job is not submitted before squeue answers."""
    played("sbatch", f"echo 'sbatch: error: Batch job submission failed: {message}' >&2; exit 1")
    played("squeue", '[ "$(wc -l < calls)" -gt 3 ] || exit 1; echo "7 sums/other"; echo "8 train/mark"')
    assert submit(["sbatch", "job.sh"], "mark") == "8"
    assert calls().count("job.sh") == 1 and len(calls()) == 4
    assert calls()[1] == "--me --name=prunecurve --states=all --noheader --format=%i %k"


def test_a_real_job_is_found_by_its_mark(slurm, tmp_path):
    find = runpy.run_path(str(SCRIPTS / "submit.py"))["find"]
    words = ["--parsable", "--job-name=prunecurve", f"--chdir={tmp_path}", "--wrap", "true"]
    numbers = {mark: cluster.call("sbatch", f"--comment=train/{mark}", *words).strip() for mark in ("ab12", "cd34")}
    assert {mark: find(mark) for mark in numbers} == numbers and find("12") is None


def test_training_asks_for_a_gpu_where_the_study_does(study):
    for device, expected in (("cuda", True), ("auto", False)):
        output = study.run("-n", "results/digits/seed0/model.pt", "--config", f"device={device}").stdout
        assert ("gpu=1" in output) is expected
