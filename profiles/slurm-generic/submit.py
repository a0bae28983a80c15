"""Submit a job script of Snakemake with sbatch and print the job number. Usage: `python3 submit.py SCRIPT`.

The second line of the job script lists the job's resources. A submit command in config.yaml would be enough for
resources that every job has. But a partition or a GPU, which only some jobs have, would need shell code there.
"""

import json
import subprocess
import sys
import time
import uuid
from pathlib import Path

# In Snakemake's folder, as with the slurm profile, so that results/ contains only results.
LOGS = ".snakemake/slurm_logs"

# sbatch options for the resources of a rule or of --default-resources. If a resource is missing, empty or 0, its option
# is left out and the site's default applies.
OPTIONS = {
    "mem_mb": "--mem",
    "runtime": "--time",
    "gpu": "--gpus",
    "slurm_partition": "--partition",
    "slurm_account": "--account",
    "constraint": "--constraint",
    "qos": "--qos",
}

# Temporary errors of sbatch: a full queue, a limit on the user's jobs, a controller that restarts. All other errors (an
# unknown partition, more memory than any node has) are reported immediately.
PASSING = (
    "temporarily",
    "queue full",
    "SubmitJob",  # QOSMaxSubmitJobPerUserLimit, AssocMaxSubmitJobLimit, ...
    "job submit limit",
    "Unable to contact",
    "timed out",
    "Zero Bytes were transmitted",
    "Communication connection failure",
)
TRY_AGAIN_AFTER, GIVE_UP_AFTER = 10, 3600  # seconds
PATIENCE = 60  # seconds; without a limit, squeue waits longer for a controller that does not answer
JOB_NAME = "prunecurve"


def command(properties: dict, script: str, mark: str) -> list[str]:
    """Return the sbatch command for a job script with these properties. `mark` is part of no other job's comment."""
    name = properties.get("rule") or properties["groupid"]
    resources = properties["resources"]
    return [
        "sbatch",
        "--parsable",
        # The same name for all jobs, so that one scancel cancels all. The comment has the rule (squeue -o "%i %k %T").
        f"--job-name={JOB_NAME}",
        f"--comment={name}/{mark}",
        f"--output={LOGS}/{name}/%j.log",
        f"--cpus-per-task={properties['threads']}",
        *(f"{option}={resources[key]}" for key, option in OPTIONS.items() if resources.get(key)),
        script,
    ]


def find(mark: str) -> str | None:
    """Return the number of the user's job with `mark` in its comment, or None if there is none.

    Raises OSError or subprocess.SubprocessError if the controller does not answer.
    """
    words = ["squeue", "--me", f"--name={JOB_NAME}", "--states=all", "--noheader", "--format=%i %k"]
    jobs = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout.splitlines()
    return next((job.split()[0] for job in jobs if job.endswith(f"/{mark}")), None)


def submit(words: list[str], mark: str) -> str:
    """Submit a job and return its number. On temporary errors, try again for up to GIVE_UP_AFTER seconds.

    An sbatch that reports an error (a timeout) can have submitted the job. Two jobs would do the same work and write
    the same files, so a job with this `mark` is looked for before each further attempt.
    """
    deadline = time.monotonic() + GIVE_UP_AFTER
    while True:
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.strip().split(";")[0]  # NUMBER, or NUMBER;CLUSTER
        print(done.stderr.strip(), file=sys.stderr)
        if not any(reason in done.stderr for reason in PASSING):
            break
        if job := wait_and_find(mark, deadline):
            return job
        if time.monotonic() > deadline:
            break
    sys.exit(f"sbatch failed, see the message above: {' '.join(words)}")


def wait_and_find(mark: str, deadline: float) -> str | None:
    """Wait, and until the controller answers; return the job's number, or None if the controller has no such job."""
    while True:
        time.sleep(TRY_AGAIN_AFTER)
        try:
            return find(mark)
        except (OSError, subprocess.SubprocessError) as error:
            if time.monotonic() > deadline:
                sys.exit(f"squeue failed, so it is not known whether the job was submitted ({error})")


if __name__ == "__main__":
    script = sys.argv[1]
    properties = json.loads(Path(script).read_text().splitlines()[1].removeprefix("# properties = "))
    mark = uuid.uuid4().hex[:12]
    words = command(properties, script, mark)
    # Slurm does not create the folder of the log; without it, the job would fail without a message.
    (Path(LOGS) / (properties.get("rule") or properties["groupid"])).mkdir(parents=True, exist_ok=True)
    print(submit(words, mark))
