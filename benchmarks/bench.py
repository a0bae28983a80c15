"""Measure what the workflow costs, side by side with other ways to do the same: results.csv and results.png."""

import argparse
import importlib
import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
# One BLAS thread, as in the jobs: threads divide the pairs.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
sys.path.insert(0, str(HERE.parent / "workflow" / "scripts"))

from figure import draw
from measuring import as_markdown, machine, write_results
from study import prepare

START, END = "<!-- results: written by make bench -->\n", "<!-- end of results -->\n"
PARTS = ("sweep", "jobs", "scale", "training", "activations", "greedy", "memory")


def options() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="rows of other parts stay as they are")
    made.add_argument("--data-dir", type=Path, default=HERE.parent / "data", help="MNIST in torchvision's layout")
    made.add_argument("--scratch", type=Path, default=HERE / "scratch", help="where studies are run")
    made.add_argument("--results", type=Path, help="folder of the tables and the figure; else this one")
    made.add_argument("--quick", action="store_true", help="a tiny study, to see that it works; results in scratch")
    return made


def work(arguments: argparse.Namespace) -> None:
    print(machine())
    results = arguments.results or (arguments.scratch if arguments.quick else HERE)
    study = prepare(arguments.scratch.resolve(), arguments.data_dir, results.resolve(), arguments.quick)
    for part in arguments.only:
        started = time.perf_counter()
        print(f"{part} …", flush=True)
        found = importlib.import_module(f"rows.{part}").rows(study)
        # After each part: one that fails takes none of the others' figures with it.
        write_results(results / "results.csv", PARTS, part, found)
        for row in found:
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
