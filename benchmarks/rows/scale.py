"""Snakemake's own time and memory for many evaluations. The command of every job is replaced by `touch`."""

import re
import shutil
import statistics
import sys
from pathlib import Path

from measuring import Row, compared, cores, run_measured, write_table
from study import Study, copy_project, environment

# Number of evaluations: number of runs. Each run is done with 1 K per job and with PACKED K per job.
SIZES = {500: 3, 5_000: 3, 25_000: 1}
CRITERIA = ["mean_activation", "conv_abs_mean", "l1_norm", "random"]
REMOVALS = ["structural", "zero_weights", "mean_replacement"]
PACKED = 16
# Runs Snakemake and writes at its end how many CPU seconds its process used, without the jobs.
DRIVER = """
import atexit, resource, sys
def write_cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    open("driver.txt", "w").write(str(used.ru_utime + used.ru_stime))
atexit.register(write_cpu_seconds)
from snakemake.cli import main
main(sys.argv[1:])
"""


def rows(study: Study) -> list[Row]:
    """Write scale.csv, and compute the rows of results.csv from it."""
    sizes = {36: 1} if study.quick else SIZES
    folder, lines = study.folder.with_name("scale"), []
    for size, runs in sizes.items():
        measured = [(packed, run(folder, size, packed)) for _ in range(runs) for packed in (1, PACKED)]
        for packed in (1, PACKED):
            own = [line for p, line in measured if p == packed]
            medians = {name: statistics.median(line[name] for line in own) for name in own[0]}
            lines.append(medians | {"ks_per_job": packed, "runs": runs})
    write_table(study.results / "scale.csv", lines)
    singles, batched = ([line for line in lines if line["ks_per_job"] == packed] for packed in (1, PACKED))
    small, large = singles[0], singles[-1]
    return [
        compared(
            f"scale: a job's share of a run of {large['jobs']:,} jobs that only touch",
            [large["run_seconds"] / large["jobs"]],
            f"of {small['jobs']:,} jobs, start included",
            [small["run_seconds"] / small["jobs"]],
        ),
        compared(
            f"scale: a run of {large['evaluations']:,} evaluations that only touch, {PACKED} K a job",
            [batched[-1]["run_seconds"]],
            "1 K a job",
            [large["run_seconds"]],
        ),
    ]


def config_of(evaluations: int) -> dict:
    """Return the config of a study with about this many evaluations, over several seeds like a large study; P = 128."""
    curves = len(CRITERIA) * len(REMOVALS)
    seeds = max(1, round(evaluations / curves / 128))
    return {
        "seeds": list(range(seeds)),
        "network": {"channels": [32, 64, 128], "hidden": [256, 64]},
        "ranking": {"criteria": CRITERIA, "random_draws": 1},
        "sweep": {"removals": REMOVALS, "ks": list(range(min(128, round(evaluations / curves / seeds))))},
    }


def run(folder: Path, evaluations: int, packed: int) -> dict[str, float]:
    """Return the wall seconds, Snakemake's own CPU seconds and its peak MB, for a dry run and for a run."""
    config = config_of(evaluations)
    config["sweep"]["ks_per_job"] = packed
    copy_project(folder, config)
    # Every command begins with what this function returns.
    path = folder / "workflow" / "rules" / "common.smk"
    text = path.read_text(encoding="utf-8")
    assert 'return f"python {' in text, "the beginning of a command has changed"
    path.write_text(text.replace('return f"python {', 'return f"touch {{output:q}} # {'), encoding="utf-8")
    count = len(config["seeds"]) * len(CRITERIA) * len(REMOVALS) * len(config["sweep"]["ks"])
    line: dict[str, float] = {"evaluations": count}
    options = ["--cores", str(cores()), "--quiet", "rules"]
    for name, arguments in (("dry_run", ["-n", *options]), ("run", options)):
        seconds, peak = run_measured([sys.executable, "-c", DRIVER, *arguments], folder, environment())
        cpu = float((folder / "driver.txt").read_text())
        line |= {f"{name}_seconds": round(seconds, 2), f"{name}_cpu": round(cpu, 2), f"{name}_peak_mb": round(peak)}
        if name == "dry_run":
            line["jobs"] = int(re.search(r"^total\s+(\d+)", (folder / "benchmark.log").read_text(), re.M).group(1))
        print(f"  {count} evaluations, {packed} per job, {name}: {seconds:.1f} s, {peak:.0f} MB", flush=True)
    shutil.rmtree(folder)
    return line
