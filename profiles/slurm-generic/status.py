"""Print the status of a Slurm job: running, success or failed. Usage: `python3 status.py NUMBER`.

Needs no accounting database. Snakemake calls this script for each job at each status check. The script calls squeue
once for all jobs of the user and stores the answer for some seconds. So hundreds of jobs are no more work for the
controller than one job.
"""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

CACHE = Path(".snakemake/slurm_states.txt")
FRESH = 5  # seconds
PATIENCE = 30  # seconds; without a limit, squeue waits longer for a controller that does not answer

SUCCESS = {"COMPLETED"}
FAILED = {
    "BOOT_FAIL",
    "CANCELLED",
    "DEADLINE",
    "FAILED",
    "LAUNCH_FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "RECONFIG_FAIL",
    "REVOKED",
    "TIMEOUT",
}
# All other states (PENDING, CONFIGURING, RUNNING, COMPLETING, SUSPENDED, REQUEUED, ...) are followed by one of these.


class Unreachable(Exception):
    """squeue fails, or the controller does not answer."""


def squeue(*which: str) -> dict[str, str]:
    """Return the state of each job that the controller knows, by job number.

    The controller knows a finished job for MinJobAge seconds (default: 300). Raises Unreachable if it does not answer.
    """
    try:
        done = subprocess.run(
            ["squeue", *which, "--states=all", "--noheader", "--format=%i %T"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise Unreachable from None
    if "Invalid job id" in done.stderr:
        return {}
    if done.returncode:
        raise Unreachable
    return parse(done.stdout)


def parse(text: str) -> dict[str, str]:
    """Return the state of each job in squeue's output, by job number."""
    return dict(line.split() for line in text.splitlines())


def states_of_all() -> dict[str, str]:
    """Return the states of the user's jobs, at most FRESH seconds old; older ones if the controller does not answer."""
    known = CACHE.read_text() if CACHE.exists() else ""
    # `0 <=`: if the clock of the file server is ahead, the file would count as fresh for too long.
    if known and 0 <= time.time() - CACHE.stat().st_mtime < FRESH:
        return parse(known)
    # If the controller does not answer, write the known states again. Otherwise each job would wait for the timeout.
    with contextlib.suppress(Unreachable):
        known = "".join(f"{job} {state}\n" for job, state in squeue("--me").items())
    CACHE.parent.mkdir(exist_ok=True)
    unfinished = CACHE.with_suffix(f".{os.getpid()}")
    unfinished.write_text(known)
    unfinished.replace(CACHE)
    return parse(known)


def status(job: str) -> str:
    """Return the status of a job in Snakemake's terms: running, success or failed."""
    try:
        # A job that was submitted after the last squeue call is not in the stored states, so ask for it alone.
        state = states_of_all().get(job) or squeue(f"--jobs={job}").get(job)
    except Unreachable:
        return "running"  # jobs continue while the controller restarts
    if state is None:
        # The job finished more than MinJobAge seconds ago, and the controller has forgotten it. This happens if
        # Snakemake was suspended. Running the job again costs time but is always correct.
        return "failed"
    return "success" if state in SUCCESS else "failed" if state in FAILED else "running"


if __name__ == "__main__":
    print(status(sys.argv[1]))
