"""Print where a study's figures lie and the numbers that matter."""

import argparse
import csv
from pathlib import Path

import yaml


def options() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--configfile", type=Path, nargs="+", required=True, help="the study's config, later ones win")
    return made


def told(row: dict[str, str], quantity: str, digits: int) -> str:
    """A quantity's mean over seeds, with its interval if there is one."""
    mean, low, high = (row[f"{quantity}_{part}"] for part in ("mean", "low", "high"))
    interval = f"  [{float(low):.{digits}f}, {float(high):.{digits}f}]" if low else ""
    return f"{float(mean):.{digits}f}{interval}"


def show(folder: Path) -> None:
    with open(folder / "summary.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    first = rows[0]
    print(f"\nFigures: {folder / 'figures'}/")
    print(f"Means over {first['seeds']} seeds, in brackets the interval ({first['interval']}), on the test pairs:")
    print(f"  unpruned accuracy           {told(first, 'control_accuracy', 4)}")
    print(f"  unpruned balanced accuracy  {told(first, 'control_balanced_accuracy', 4)}")
    print("  largest K whose accuracy is within one point of the unpruned network's:")
    width = max(len(row["criterion"]) for row in rows)
    for row in rows:
        print(f"    {row['criterion']:{width}}  {row['removal']}  {told(row, 'largest_k_accuracy', 1)}")


if __name__ == "__main__":
    config: dict = {}
    for path in options().parse_args().configfile:
        config |= yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    show(Path("results") / config["dataset"])
