"""Print where a study's figures lie and the numbers that matter."""

import argparse
import time
from pathlib import Path

import yaml

from prunecurve.config import load_schema
from prunecurve.files import read_rows

SCHEMA = Path(__file__).parents[1] / "schemas" / "config.schema.yaml"


def options() -> argparse.ArgumentParser:
    """Those of snakemake's options that tell which study it is."""
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--configfile", type=Path, nargs="+", action="extend", default=[], help="later ones win")
    made.add_argument("--config", nargs="*", default=[], help="KEY=VALUE")
    return made


def dataset_of(arguments: argparse.Namespace) -> str:
    """The data set of the study that snakemake runs with these options."""
    dataset = load_schema(SCHEMA)["properties"]["dataset"]["default"]
    for path in arguments.configfile:
        dataset = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("dataset", dataset)
    return dict(word.split("=", 1) for word in arguments.config if "=" in word).get("dataset", dataset)


def told(row: dict[str, str], quantity: str, digits: int) -> str:
    """A quantity's mean over seeds, with its interval if there is one."""
    mean, low, high = (row[f"{quantity}_{part}"] for part in ("mean", "low", "high"))
    interval = f"  [{float(low):.{digits}f}, {float(high):.{digits}f}]" if low else ""
    return f"{float(mean):.{digits}f}{interval}"


def show(folder: Path) -> None:
    path = folder / "summary.csv"
    if not path.exists():
        print(f"There is no {path} yet.")
        return
    rows = read_rows(path, sealed=False)
    first, written = rows[0], time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
    print(f"\nFigures: {folder / 'figures'}/")
    seeds = int(first["seeds"])
    interval = f"mean of {seeds} seeds, in brackets the interval ({first['interval']}, cut off at what is possible)"
    print(f"From {path}, written {written}, on the test pairs; {interval if seeds > 1 else 'one seed'}:")
    print(f"  unpruned accuracy           {told(first, 'control_accuracy', 4)}")
    print(f"  unpruned balanced accuracy  {told(first, 'control_balanced_accuracy', 4)}")
    print("  largest K whose accuracy is within one point of the unpruned network's:")
    width = max(len(row["criterion"]) for row in rows)
    for row in rows:
        print(f"    {row['criterion']:{width}}  {row['removal']}  {told(row, 'largest_k_accuracy', 1)}")


if __name__ == "__main__":
    # Whatever else snakemake was given is none of this script's business.
    show(Path("results") / dataset_of(options().parse_known_args()[0]))
