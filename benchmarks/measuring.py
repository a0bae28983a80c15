"""Measuring time and memory of two methods in turn, and the rows of the results."""

import csv
import dataclasses
import functools
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
    """A comparison of our method with another: in seconds, or in megabytes if the name ends with "in MB".

    ratio: other / ours; above 1, ours takes less. target: the target in words; empty if there is none. met: whether
    the target is met; None if there is none.
    """

    name: str
    ours: float
    other_name: str
    other: float
    ratio: float
    target: str = ""
    met: bool | None = None

    def cells(self) -> dict[str, str]:
        """Return the cells of the row in results.csv, by column name."""
        return {
            "name": self.name,
            "ours_seconds": f"{self.ours:.4g}",
            "other": self.other_name,
            "other_seconds": f"{self.other:.4g}",
            "ratio": f"{self.ratio:.3g}",
            "target": self.target,
            "met": "" if self.met is None else ("yes" if self.met else "no"),
            "machine": machine(),
            "date": time.strftime("%Y-%m-%d"),
        }


def compared(name: str, ours: Sequence[float], other_name: str, other: Sequence[float]) -> Row:
    """Return a row with the medians over rounds; ratio is the median of other / ours in each round.

    ours, other: the measurements of each round, made in turn.
    """
    ratio = statistics.median(theirs / own for own, theirs in zip(ours, other, strict=True))
    return Row(name, statistics.median(ours), other_name, statistics.median(other), ratio)


def at_least(row: Row, ratio: float) -> Row:
    """Return the row with the target that ratio is at least this value."""
    return dataclasses.replace(row, target=f"ratio ≥ {ratio:g}", met=row.ratio >= ratio)


def at_most(row: Row, share: float) -> Row:
    """Return the row with the target that ours takes at most `share` times what the other takes."""
    return dataclasses.replace(row, target=f"ours ≤ {share:g} × other", met=row.ratio >= 1 / share)


def at_most_absolute(row: Row, most: float) -> Row:
    """Return the row with the target that ours takes at most `most`, in the row's unit."""
    return dataclasses.replace(row, target=f"ours ≤ {most:g} {unit(row.name)}", met=row.ours <= most)


def unit(name: str) -> str:
    """Return the unit of a row with this name."""
    return "MB" if name.endswith(" in MB") else "s"


def cores() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0))


def alternating(rounds: int, **ways: Callable[[int], float | None]) -> dict[str, list[float]]:
    """Call each function once per round, in turn; return the seconds of each round by name.

    The seconds are the function's return value or, if it returns None, its wall time.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            returned = way(turn)
            seconds[name].append(time.perf_counter() - started if returned is None else returned)
            print(f"  round {turn + 1}/{rounds}  {name}: {seconds[name][-1]:.3f} s", flush=True)
    return seconds


# The measured peak of a process includes the memory of its parent at the start, so a small process starts the command.
LAUNCHER = """
import os, sys
process = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(process, 0)
open(sys.argv[1], "w").write(str(usage.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status))
"""


def run_measured(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[float, float]:
    """Run a command; return its wall seconds and the peak resident memory of its largest process in MB."""
    log, peak = folder / "benchmark.log", folder / "peak.txt"
    started = time.perf_counter()
    with log.open("w", encoding="utf-8") as out:
        launched = [sys.executable, "-S", "-c", LAUNCHER, str(peak), *command]
        code = subprocess.run(launched, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT).returncode
    if code:
        raise SystemExit(f"failed: {' '.join(command)[:300]}\n{log.read_text(encoding='utf-8')[-3000:]}")
    return time.perf_counter() - started, int(peak.read_text()) / 1024


@functools.cache
def machine() -> str:
    """Return processor, cores and memory of this machine, as text."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{name}, {cores()} cores, {memory:.0f} GiB"


def write_results(path: Path, parts: Sequence[str], part: str, rows: Sequence[Row]) -> None:
    """Replace a part's rows in results.csv; rows are in the order of the parts."""
    old = list(csv.DictReader(path.open(encoding="utf-8"))) if path.exists() else []
    merged = [row for row in old if _part(row) != part] + [row.cells() for row in rows]
    write_table(path, sorted(merged, key=lambda row: parts.index(_part(row))))


def _part(row: Mapping[str, str]) -> str:
    return row["name"].split(":")[0]


def as_markdown(path: Path) -> str:
    """results.csv as a Markdown table for docs/speed.md, followed by the machine and the date of the measurement."""
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    lines = ["| what | ours | other | | ratio | target | met |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        ours, other = (f"{row[name]} {unit(row['name'])}" for name in ("ours_seconds", "other_seconds"))
        lines.append(
            f"| {row['name']} | {ours} | {other} | {row['other']} | {row['ratio']} | {row['target']} | {row['met']} |"
        )
    where = dict.fromkeys(f"{row['machine']}, {row['date']}" for row in rows)
    return "\n".join(lines) + f"\n\nMeasured on {'; '.join(where)}.\n"


def write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write dictionaries with the same keys as a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
