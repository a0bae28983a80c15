"""How Snakemake's own time and memory grow with the number of evaluations: every job's command replaced by `touch`."""

import os
import re
import shutil
import sys
from pathlib import Path

from measuring import Row, run_measured, write_table
from study import Study, copy_project, environment

SIZES = (500, 5_000, 25_000)
CRITERIA = ["mean_activation", "conv_abs_mean", "l1_norm", "random"]
REMOVALS = ["structural", "zero_weights", "mean_replacement"]
PACKED = 16
# The driver, telling at its end what CPU seconds it used itself, without its jobs.
DRIVER = """
import atexit, resource, sys
def told():
    used = resource.getrusage(resource.RUSAGE_SELF)
    open("driver.txt", "w").write(str(used.ru_utime + used.ru_stime))
atexit.register(told)
from snakemake.cli import main
main(sys.argv[1:])
"""


def rows(study: Study) -> list[Row]:
    """No comparison but a table, scale.csv: two rows of results.csv are made of it."""
    sizes = (100, 200) if study.quick else SIZES
    folder = study.folder.with_name("scale")
    table = [measured(folder, size, packed) for size in sizes for packed in (1, PACKED)]
    target = study.folder.parent if study.quick else Path(__file__).parents[1]
    write_table(target / "scale.csv", table)
    found = {(line["evaluations"], line["ks_per_job"]): line for line in table}
    small, large = (found[count, 1] for count in (table[0]["evaluations"], table[-1]["evaluations"]))
    packed = found[large["evaluations"], PACKED]
    per_job = [line["run_seconds"] / line["jobs"] for line in (small, large)]
    return [
        Row(
            f"scale: driver, seconds a job, {large['jobs']:,} jobs",
            per_job[1],
            f"{small['jobs']:,} jobs (start included)",
            per_job[0],
            per_job[1] / per_job[0],
        ),
        Row(
            f"scale: driver, {large['evaluations']:,} evaluations, ks_per_job {PACKED}",
            packed["run_seconds"],
            "ks_per_job 1",
            large["run_seconds"],
            large["run_seconds"] / packed["run_seconds"],
        ),
    ]


def config_of(evaluations: int) -> dict:
    """A study of about so many evaluations, spread over seeds as a large study's are; P = 128."""
    curves = len(CRITERIA) * len(REMOVALS)
    seeds = max(1, round(evaluations / curves / 128))
    return {
        "seeds": list(range(seeds)),
        "network": {"channels": [32, 64, 128], "hidden": [256, 64]},
        "ranking": {"criteria": CRITERIA},
        "sweep": {"removals": REMOVALS, "ks": list(range(min(128, round(evaluations / curves / seeds))))},
    }


def measured(folder: Path, evaluations: int, packed: int) -> dict[str, object]:
    """One line of scale.csv: the dry run's and the run's wall seconds, driver CPU seconds and driver peak MB."""
    config = config_of(evaluations)
    config["sweep"]["ks_per_job"] = packed
    copy_project(folder, config)
    for path in (folder / "workflow" / "rules").glob("*.smk"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace('"python {params.script:q}', '"touch {output:q} # '), encoding="utf-8")
    line: dict[str, object] = {}
    count = len(config["seeds"]) * len(CRITERIA) * len(REMOVALS) * len(config["sweep"]["ks"])
    cores = ["--cores", str(os.cpu_count()), "--quiet", "rules"]
    for name, arguments in (("dry_run", ["-n", *cores]), ("run", cores)):
        seconds, peak = run_measured([sys.executable, "-c", DRIVER, *arguments], folder, environment())
        cpu = float((folder / "driver.txt").read_text())
        line |= {f"{name}_seconds": round(seconds, 2), f"{name}_cpu": round(cpu, 2), f"{name}_peak_mb": round(peak)}
        if name == "dry_run":
            jobs = int(re.search(r"^total\s+(\d+)", (folder / "benchmark.log").read_text(), re.M).group(1))
        print(f"  {count} evaluations, {packed} a job, {name}: {seconds:.1f} s, {peak:.0f} MB", flush=True)
    shutil.rmtree(folder)
    return {"evaluations": count, "ks_per_job": packed, "jobs": jobs} | line
