"""Whether a Slurm job is running, success or failed: `python3 status.py NUMBER`. Needs no accounting database.

Snakemake asks for each job at each poll. Slurm is asked once for all of the user's jobs, and the answer serves for some
seconds: hundreds of jobs cost the controller what one does.
"""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

CACHE = Path(".snakemake/slurm_states.txt")
FRESH = 5  # seconds
PATIENCE = 30  # seconds; squeue itself waits longer for a controller that is away

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
# All other states (PENDING, CONFIGURING, RUNNING, COMPLETING, SUSPENDED, REQUEUED, ...) go on to one of those.


class Unreachable(Exception):
    """The controller doesn't answer, or refuses to."""


def squeue(*which: str) -> dict[str, str]:
    """State of each job that the controller knows; it knows ended ones for MinJobAge seconds (by default 300)."""
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
    """State of each job in a table of squeue's."""
    return dict(line.split() for line in text.splitlines())


def states_of_all() -> dict[str, str]:
    """States of the user's jobs, some seconds old at most. Of a controller that is away: the last ones known."""
    known = CACHE.read_text() if CACHE.exists() else ""
    # A file server whose clock is ahead would make them fresh for as long.
    if known and 0 <= time.time() - CACHE.stat().st_mtime < FRESH:
        return parse(known)
    # Of a silent one what was known is kept for another few seconds, else every job would wait for the same silence.
    with contextlib.suppress(Unreachable):
        known = "".join(f"{job} {state}\n" for job, state in squeue("--me").items())
    CACHE.parent.mkdir(exist_ok=True)
    unfinished = CACHE.with_suffix(f".{os.getpid()}")
    unfinished.write_text(known)
    unfinished.replace(CACHE)
    return parse(known)


def status(job: str) -> str:
    """What Snakemake wants to hear."""
    try:
        # A job submitted since the last answer isn't in it: asked for by itself.
        state = states_of_all().get(job) or squeue(f"--jobs={job}").get(job)
    except Unreachable:
        return "running"  # the controller restarts, jobs go on
    if state is None:
        # Ended so long ago that the controller forgot how: Snakemake was asleep for longer than MinJobAge. Run again,
        # which costs time and is never wrong.
        return "failed"
    return "success" if state in SUCCESS else "failed" if state in FAILED else "running"


if __name__ == "__main__":
    print(status(sys.argv[1]))
