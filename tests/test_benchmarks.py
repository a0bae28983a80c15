"""The benchmark runs and compares equal computations. It uses a tiny study, whose timings have no meaning."""

import csv
import subprocess
import sys

import figure
import pytest
from conftest import PROJECT, environment
from measuring import as_markdown
from PIL import Image

BENCHMARKS = PROJECT / "benchmarks"
COLUMNS = ["name", "ours_seconds", "other", "other_seconds", "ratio", "target", "met", "machine", "date"]
PARTS = ["sweep", "peers", "repairs", "jobs", "scale", "training", "shared", "activations", "greedy"]
PARTS += ["network", "memory"]


def rows(path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Run the benchmark with all parts, a short one twice; return the results folder."""
    folder = tmp_path_factory.mktemp("benchmarks")
    options = ["--quick", "--scratch", folder / "scratch", "--results", folder, "--only", *PARTS, "peers"]
    subprocess.run([sys.executable, BENCHMARKS / "bench.py", *options], env=environment(), check=True)
    return folder


def test_every_part_has_its_rows_once(measured):
    found = rows(measured / "results.csv")
    assert list(found[0]) == COLUMNS
    assert list(dict.fromkeys(row["name"].split(":")[0] for row in found)) == PARTS
    assert len({row["name"] for row in found}) == len(found)
    assert all(row["met"] in ("yes", "no") if row["target"] else row["met"] == "" for row in found)
    times = [row for row in found if not row["name"].endswith("in MB")]
    assert all(float(row["other_seconds"]) > 0 and float(row["ours_seconds"]) > 0 for row in times)


def test_the_sweeps_that_are_compared_count_the_same_at_every_k(measured):
    found = [row["other"] for row in rows(measured / "results.csv") if "confusion counts" in row["other"]]
    assert len(found) == 3
    assert all("the same confusion counts at 39 of 39 K" in other for other in found)


def test_memory_is_that_of_the_job_and_not_of_who_starts_it(measured):
    row, large = [row for row in rows(measured / "results.csv") if row["name"].startswith("memory")]
    # The benchmark itself has imported torch, which needs some hundred MB; the job must not include this.
    assert 10 < float(row["other_seconds"]) <= float(row["ours_seconds"]) < 120
    assert float(large["ours_seconds"]) < 1000 and large["met"] == "yes"


def test_a_packed_study_has_fewer_jobs(measured):
    found = rows(measured / "scale.csv")
    single, packed = ({r["evaluations"]: float(r["jobs"]) for r in found if r["ks_per_job"] == n} for n in ("1", "16"))
    assert len(single) == len(packed) == 1
    assert all(packed[size] < single[size] for size in single)


def test_the_figure_is_drawn(measured, tmp_path):
    """Also from one part alone."""
    lines = (measured / "results.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "results.csv").write_text("\n".join([lines[0], *(row for row in lines if "sweep:" in row)]))
    figure.draw(tmp_path / "results.csv", tmp_path / "scale.csv", tmp_path / "results.png")
    for folder in (measured, tmp_path):
        with Image.open(folder / "results.png") as picture:
            assert picture.width > 1000


def test_the_table_on_the_speed_page_is_that_of_the_results():
    table = as_markdown(BENCHMARKS / "results.csv")
    assert table in (PROJECT / "docs" / "speed.md").read_text(encoding="utf-8")
