"""Submit a job script of Snakemake's with sbatch and print the job's number: `python3 submit.py SCRIPT`.

What a job needs stands in its script's second line. A submit command in config.yaml could name what every job has, but
a partition or a GPU, which some have and some haven't, only with words of the shell.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

# Beside Snakemake's own records, where the slurm profile has them too: results/ holds what the study found, no more.
LOGS = ".snakemake/slurm_logs"

# Resource of a rule, or of --default-resources: option of sbatch. What is missing, empty or 0 isn't asked for, and the
# site's default holds.
OPTIONS = {
    "mem_mb": "--mem",
    "runtime": "--time",
    "gpu": "--gpus",
    "slurm_partition": "--partition",
    "slurm_account": "--account",
    "constraint": "--constraint",
    "qos": "--qos",
}

# Refusals that pass: a full queue, a limit on one's own jobs, a controller that restarts. All else (no such partition,
# more memory than any node has) is told at once.
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
    """The sbatch command for what a job script says of itself."""
    name = properties.get("rule") or properties["groupid"]
    resources = properties["resources"]
    return [
        "sbatch",
        "--parsable",
        # The same for all, so that one scancel finds them; the comment tells them apart (squeue -o "%i %k %T").
        "--job-name=prunecurve",
        f"--comment={name}",
        f"--output={LOGS}/{name}/%j.log",
        f"--cpus-per-task={properties['threads']}",
        *(f"{option}={resources[key]}" for key, option in OPTIONS.items() if resources.get(key)),
        script,
    ]


def submit(words: list[str]) -> str:
    """The number of the submitted job; waits while refusals pass."""
    deadline = time.monotonic() + GIVE_UP_AFTER
    while True:
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.strip().split(";")[0]  # NUMBER, or NUMBER;CLUSTER
        passes = any(reason in done.stderr for reason in PASSING)
        print(done.stderr.strip(), file=sys.stderr)
        if not passes or time.monotonic() > deadline:
            sys.exit(f"sbatch refused: {' '.join(words)}")
        time.sleep(TRY_AGAIN_AFTER)


if __name__ == "__main__":
    script = sys.argv[1]
    properties = json.loads(Path(script).read_text().splitlines()[1].removeprefix("# properties = "))
    words = command(properties, script)
    # Slurm doesn't make the folder: the job would fail without a word.
    (Path(LOGS) / (properties.get("rule") or properties["groupid"])).mkdir(parents=True, exist_ok=True)
    print(submit(words))
