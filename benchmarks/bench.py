"""Measure the time and memory of the workflow, compared with other methods; write results.csv and results.png."""

import argparse
import importlib
import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
# One BLAS thread, as in the jobs, which split the pairs among threads.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
sys.path.insert(0, str(HERE.parent / "workflow" / "scripts"))

from figure import draw
from measuring import as_markdown, machine, write_results
from study import prepare

START, END = "<!-- results: written by make bench -->\n", "<!-- end of results -->\n"
PARTS = (
    "sweep",
    "peers",
    "repairs",
    "jobs",
    "scale",
    "training",
    "shared",
    "activations",
    "greedy",
    "network",
    "memory",
)


def options() -> argparse.ArgumentParser:
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to measure; other rows are kept")
    cli.add_argument("--data-dir", type=Path, default=HERE.parent / "data", help="MNIST in torchvision's layout")
    cli.add_argument("--scratch", type=Path, default=HERE / "scratch", help="folder in which studies are run")
    cli.add_argument("--results", type=Path, help="folder of the tables and the figure; by default benchmarks/")
    cli.add_argument("--quick", action="store_true", help="a tiny study to test the benchmark; results in scratch")
    return cli


def work(arguments: argparse.Namespace) -> None:
    print(machine())
    results = arguments.results or (arguments.scratch if arguments.quick else HERE)
    study = prepare(arguments.scratch.resolve(), arguments.data_dir, results.resolve(), arguments.quick)
    for part in arguments.only:
        started = time.perf_counter()
        print(f"{part} …", flush=True)
        rows = importlib.import_module(f"rows.{part}").rows(study)
        # Write after each part, so that an error in a later part does not lose these rows.
        write_results(results / "results.csv", PARTS, part, rows)
        for row in rows:
            print("  " + "  ".join(f"{name}: {cell}" for name, cell in row.cells().items() if cell))
        print(f"{part}: {time.perf_counter() - started:.0f} s", flush=True)
    draw(results / "results.csv", results / "scale.csv", results / "results.png")
    if results == HERE:
        tabulate(HERE.parent / "docs" / "speed.md", results / "results.csv")


def tabulate(page: Path, results: Path) -> None:
    """Write results.csv as a table between the two markers of a Markdown page."""
    before, rest = page.read_text(encoding="utf-8").split(START)
    text = before + START + "\n" + as_markdown(results) + "\n" + END + rest.split(END)[1]
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    work(options().parse_args())
