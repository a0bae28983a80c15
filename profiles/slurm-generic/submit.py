"""Submit a job script of Snakemake with sbatch and print the job number. Usage: `python3 submit.py SCRIPT`.

The second line of the job script lists the job's resources. A submit command in config.yaml would be enough for
resources that every job has. But a partition or a GPU, which only some jobs have, would need shell code there.
"""

import json
import subprocess
import sys
import time
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
)
TRY_AGAIN_AFTER, GIVE_UP_AFTER = 10, 3600  # seconds


def command(properties: dict, script: str) -> list[str]:
    """Return the sbatch command for a job script with these properties."""
    name = properties.get("rule") or properties["groupid"]
    resources = properties["resources"]
    return [
        "sbatch",
        "--parsable",
        # The same name for all jobs, so that one scancel cancels all. The comment has the rule (squeue -o "%i %k %T").
        "--job-name=prunecurve",
        f"--comment={name}",
        f"--output={LOGS}/{name}/%j.log",
        f"--cpus-per-task={properties['threads']}",
        *(f"{option}={resources[key]}" for key, option in OPTIONS.items() if resources.get(key)),
        script,
    ]


def submit(words: list[str]) -> str:
    """Submit a job and return its number. On temporary errors, try again for up to GIVE_UP_AFTER seconds."""
    deadline = time.monotonic() + GIVE_UP_AFTER
    while True:
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.strip().split(";")[0]  # NUMBER, or NUMBER;CLUSTER
        temporary = any(reason in done.stderr for reason in PASSING)
        print(done.stderr.strip(), file=sys.stderr)
        if not temporary or time.monotonic() > deadline:
            sys.exit(f"sbatch failed, see the message above: {' '.join(words)}")
        time.sleep(TRY_AGAIN_AFTER)


if __name__ == "__main__":
    script = sys.argv[1]
    properties = json.loads(Path(script).read_text().splitlines()[1].removeprefix("# properties = "))
    words = command(properties, script)
    # Slurm does not create the folder of the log; without it, the job would fail without a message.
    (Path(LOGS) / (properties.get("rule") or properties["groupid"])).mkdir(parents=True, exist_ok=True)
    print(submit(words))
