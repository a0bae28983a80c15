"""Timing two things side by side, and what one row of the results is."""

import csv
import dataclasses
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Row:
    """A comparison: ours and other in seconds, or in megabytes where the name says so.

    ratio: other / ours, how many times faster ours is, unless the target says ours / other. target: what is
    to be reached, in words; empty where there is none.
    """

    name: str
    ours: float
    other_name: str
    other: float
    ratio: float
    target: str = ""
    met: bool | None = None

    def cells(self, machine: str) -> dict[str, str]:
        """The row as results.csv has it."""
        return {
            "name": self.name,
            "ours_seconds": f"{self.ours:.4g}",
            "other": self.other_name,
            "other_seconds": f"{self.other:.4g}",
            "ratio": f"{self.ratio:.3g}",
            "target": self.target,
            "met": "" if self.met is None else ("yes" if self.met else "no"),
            "machine": machine,
            "date": time.strftime("%Y-%m-%d"),
        }


def faster(
    name: str, ours: Sequence[float], other_name: str, other: Sequence[float], least: float | None = None
) -> Row:
    """How many times faster ours is: the median over rounds of other / ours, each round's two measured in turn."""
    ratio = statistics.median(theirs / own for own, theirs in zip(ours, other, strict=True))
    target, met = ("", None) if least is None else (f"ratio ≥ {least:g}", ratio >= least)
    return Row(name, statistics.median(ours), other_name, statistics.median(other), ratio, target, met)


def alternating(rounds: int, **ways: Callable[[int], float | None]) -> dict[str, list[float]]:
    """Call each way once a round, in turn, and list its seconds: what it returns, or how long it took."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            told = way(turn)
            seconds[name].append(time.perf_counter() - started if told is None else told)
            print(f"  round {turn + 1}/{rounds}  {name}: {seconds[name][-1]:.3f} s", flush=True)
    return seconds


# A process counts into its peak what the one that started it had in memory, so a small one starts what is measured.
LAUNCHER = """
import os, sys
process = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(process, 0)
open(sys.argv[1], "w").write(str(usage.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status))
"""


def run_measured(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[float, float]:
    """Run a command to its end: wall seconds, and the peak resident memory of its largest process in MB."""
    log, peak = folder / "benchmark.log", folder / "peak.txt"
    started = time.perf_counter()
    with log.open("w", encoding="utf-8") as out:
        launched = [sys.executable, "-S", "-c", LAUNCHER, str(peak), *command]
        code = subprocess.run(launched, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT).returncode
    if code:
        raise SystemExit(f"failed: {' '.join(command)[:300]}\n{log.read_text(encoding='utf-8')[-3000:]}")
    return time.perf_counter() - started, int(peak.read_text()) / 1024


def machine() -> str:
    """Processor, cores and memory of this machine."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores, {memory:.0f} GiB"


def write_results(path: Path, part: str, rows: Sequence[Row]) -> None:
    """Write a part's rows into results.csv in the place of its old ones; those of other parts stay."""
    old = list(csv.DictReader(path.open(encoding="utf-8"))) if path.exists() else []
    kept = [row for row in old if row["name"].split(":")[0] != part]
    write_table(path, [*kept, *(row.cells(machine()) for row in rows)])


def as_markdown(path: Path) -> str:
    """results.csv as a table for the README."""
    lines = ["| what | ours | other | | ratio | target | met |", "|---|---|---|---|---|---|---|"]
    for row in csv.DictReader(path.open(encoding="utf-8")):
        ours, other = (f"{row[n]} {'MB' if 'MB' in row['name'] else 's'}" for n in ("ours_seconds", "other_seconds"))
        lines.append(
            f"| {row['name']} | {ours} | {other} | {row['other']} | {row['ratio']} | {row['target']} | {row['met']} |"
        )
    return "\n".join(lines) + "\n"


def write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write dictionaries with the same keys as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
