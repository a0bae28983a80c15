"""The differences between two studies: which numbers of which tables differ, and by how much."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from prunecurve.archive.archive import MANIFEST, checked
from prunecurve.arrays import load_array
from prunecurve.errors import StudyError
from prunecurve.statistics.means import read_table

# The files that exist in the folder of a study and in its archive.
OF_LAYER = ("ranking/*.csv", "verification.csv", "activations/test/channels.csv", "activations/test/mean_maps.npy")
COMPARED = ("*.csv", "*.csv.xz", "seed*/training.csv", *(f"seed*/*/{name}" for name in OF_LAYER))
# Computed from curve.csv; an archive does not contain it.
NOT_COMPARED = "curve_mean.csv"
# Columns that identify a row; the other columns are values. Measured times differ from run to run.
OF_RESULT = (
    "dataset",
    "seed",
    "layer",
    "criterion",
    "removal",
    "repair",
    "draw",
    "k",
    "split",
    "class",
    "epoch",
    "order",
)
NAMES = (*OF_RESULT, "method", "operation", "quantity", "baseline", "other", "other_split")
IGNORED = "seconds"


def files_of(study: Path) -> dict[str, Path]:
    """Return the paths of a study's compared files by their names without `.xz`; raise StudyError if there are none."""
    paths = {path for pattern in COMPARED for path in study.glob(pattern) if path.name != NOT_COMPARED}
    if not paths:
        raise StudyError(
            f"{study} holds no table of a study; give results/STUDY for a study or archive/NAME for an archive"
        )
    return {path.relative_to(study).as_posix().removesuffix(".xz"): path for path in sorted(paths)}


def differences(a: Path, b: Path) -> dict[str, list[str]]:
    """Return one line per difference in each file that is in both A and B. For the other files see `only_in`."""
    ours, theirs = files_of(a), files_of(b)
    return {
        name: list((_of_arrays if name.endswith(".npy") else _of_tables)(ours[name], theirs[name]))
        for name in sorted(ours.keys() & theirs.keys())
    }


def only_in(a: Path, b: Path) -> list[str]:
    """Return the files that A has and B does not. If B is an archive, only files of the frozen layer count."""
    ours, theirs = files_of(a), files_of(b)
    frozen = {layer_of(name) for name in theirs} if (b / MANIFEST).is_file() else {layer_of(name) for name in ours}
    return sorted(name for name in ours.keys() - theirs.keys() if layer_of(name) in frozen)


def layer_of(name: str) -> str:
    """Return the layer that a file belongs to; empty for files of the whole network or of the study."""
    seed, *inside = name.split("/")
    return inside[0] if seed.startswith("seed") and len(inside) > 1 else ""


def origin(study: Path) -> str:
    """Return when, from which commit and on which processor an archive was frozen; empty for a folder of results.

    Raises StudyError if the archive's files do not match its manifest.
    """
    if not (study / MANIFEST).is_file():
        return ""
    frozen = checked(study)["frozen"]
    return f"frozen {frozen['at']}, commit {frozen['commit'][:9]}, {frozen['machine']['processor']}"


def _of_arrays(a: Path, b: Path) -> Iterator[str]:
    ours, theirs = load_array(a), load_array(b)
    if ours.shape != theirs.shape:
        yield f"shape {ours.shape} in A, {theirs.shape} in B"
    elif (differ := ours != theirs).any():
        largest = np.abs(ours.astype(np.float64) - theirs).max()
        yield f"{differ.sum():,} of {ours.size:,} numbers differ, by at most {largest:.3g}"


def _of_tables(a: Path, b: Path) -> Iterator[str]:
    """Yield one line per column that differs. Rows are matched by the columns in NAMES."""
    ours, theirs = read_table(a), read_table(b)
    # In a table of channel statistics the channel identifies the row; in a ranking it is a value.
    names = [n for n in (*NAMES, *(() if "order" in ours else ("channel",))) if n in ours and n in theirs]
    for column in sorted(set(ours) ^ set(theirs)):
        yield f"{column}: column only in {'A' if column in ours else 'B'}"
    both = ours.merge(theirs, on=names, how="outer", suffixes=("", " of B"), indicator=True)
    for side, where in (("A", "left_only"), ("B", "right_only")):
        if len(rows := both[both["_merge"] == where]):
            yield f"rows only in {side}: {len(rows):,} (first: {_name(rows.iloc[0], names)})"
    both = both[both["_merge"] == "both"]
    for column in ours.columns.intersection(theirs.columns).drop([*names, IGNORED], errors="ignore"):
        yield from _of_column(both, column, names)


def _of_column(both: pd.DataFrame, column: str, names: list[str]) -> Iterator[str]:
    ours, theirs = both[column], both[f"{column} of B"]
    differ = ~((ours == theirs) | (ours.isna() & theirs.isna()))
    if not differ.any():
        return
    by, place = "", int(np.argmax(differ))
    if pd.api.types.is_numeric_dtype(ours) and pd.api.types.is_numeric_dtype(theirs):
        gaps = (ours.astype(float) - theirs.astype(float)).abs().where(differ)
        if gaps.notna().any():
            place = int(np.nanargmax(gaps))
            by = f", by at most {gaps.iloc[place]:.3g}"
    where = f" ({_name(both.iloc[place], names)}: {ours.iloc[place]} in A, {theirs.iloc[place]} in B)"
    yield f"{column}: {int(differ.sum()):,} of {len(both):,} rows differ{by}{where}"


def _name(row: pd.Series, names: list[str]) -> str:
    return ", ".join(f"{name} {row[name]}" for name in names if name != "dataset")
