"""All K of one criterion as jobs of a real run, compared with jobs that only import numpy."""

import shutil
import time

from measuring import Row, alternating, at_most, compared, cores, run_measured
from study import Study, copy_project, environment

# One BLAS thread, as in our jobs, because it makes the import of numpy faster.
FLOOR = """OPENBLAS_NUM_THREADS=1 python -c 'import numpy; open("{output}", "w")'"""
# A minimal Snakefile: no inputs, no parameters, no log.
BARE = f"""
rule all:
    input: expand("out/k{{k}}.csv", k=range(1, int(config["count"]) + 1))
rule evaluate:
    output: "out/k{{k}}.csv"
    shell: {FLOOR!r}
"""
MOST = 1.5


def emptied(rules: str) -> str:
    """Return sweep.smk with the evaluation's command replaced by FLOOR and no other change."""
    start = rules.index("    shell:\n", rules.index("rule eval_pruned"))
    # Two empty lines end a rule.
    end = rules.find("\n\n\n", start)
    return rules[:start] + f"    shell:\n        {FLOOR!r}\n" + (rules[end:] if end >= 0 else "")


def rows(study: Study) -> list[Row]:
    """Measure the wall time of whole `snakemake` runs, with Python's start; delete their outputs before each run."""
    count = 9 if study.quick else study.channels - 1
    targets = [study.row(k) for k in range(1, count + 1)]
    same, bare = study.folder.with_name("floor"), study.folder.with_name("bare")
    shutil.rmtree(same, ignore_errors=True)
    shutil.copytree(study.folder, same)
    rules = same / "workflow" / "rules" / "sweep.smk"
    rules.write_text(emptied(rules.read_text(encoding="utf-8")), encoding="utf-8")
    copy_project(bare, study.config)
    (bare / "Snakefile").write_text(BARE, encoding="utf-8")

    def run(folder, *arguments: str) -> float:
        shutil.rmtree(folder / study.in_layer.relative_to(study.folder) / "sweep", ignore_errors=True)
        shutil.rmtree(folder / "out", ignore_errors=True)
        seconds, _ = run_measured(study.snakemake(*arguments), folder, environment())
        time.sleep(1)
        return seconds

    seconds = alternating(
        study.rounds,
        ours=lambda turn: run(study.folder, *targets),
        numpy_same_rule=lambda turn: run(same, *targets),
        numpy_bare=lambda turn: run(bare, "--config", f"count={count}"),
    )

    name, what = f"jobs: the sweep as {count} jobs, {study.dataset}, {cores()} cores", f"{count} jobs of `import numpy`"
    floors = {"the rule else the same": seconds["numpy_same_rule"], "a Snakefile of one rule": seconds["numpy_bare"]}
    return [
        at_most(compared(f"{name}, floor {i}", seconds["ours"], f"{what}, {floor}", taken), MOST)
        for i, (floor, taken) in enumerate(floors.items(), start=1)
    ]
