"""What tells two studies apart: in which of their tables which numbers differ, and by how much."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from prunecurve.archive import MANIFEST, checked
from prunecurve.errors import StudyError
from prunecurve.files import load_array
from prunecurve.statistics import read_table

# What a study's folder and its archive both hold.
OF_LAYER = ("ranking/*.csv", "verification.csv", "activations/test/channels.csv", "activations/test/mean_maps.npy")
COMPARED = ("*.csv", "*.csv.xz", "seed*/training.csv", *(f"seed*/conv*/{name}" for name in OF_LAYER))
# Columns that say what a row is of; the others are what it says.
NAMES = ("dataset", "seed", "layer", "quantity", "criterion", "removal", "baseline", "other", "k", "epoch", "order")
# Differs from run to run and means nothing.
IGNORED = ("seconds",)


@dataclasses.dataclass(frozen=True)
class Difference:
    """What is told of one file: in words, or nothing where A and B hold the same."""

    file: str
    told: tuple[str, ...]


def files_of(study: Path) -> dict[str, Path]:
    """The compared files of a study by their names, compressed or not."""
    if not study.is_dir():
        raise StudyError(f"{study} is not a folder; a study's is results/DATASET, an archive's archive/NAME")
    found = {path for pattern in COMPARED for path in study.glob(pattern)}
    if not found:
        raise StudyError(f"{study} holds no table of a study; a study's folder is results/DATASET")
    return {path.relative_to(study).as_posix().removesuffix(".xz"): path for path in sorted(found)}


def differences(a: Path, b: Path) -> Iterator[Difference]:
    """One for each file that A and B both hold, in order of their names; see `only_in` for the others."""
    ours, theirs = files_of(a), files_of(b)
    for name in sorted(ours.keys() & theirs.keys()):
        tell = _of_arrays if name.endswith(".npy") else _of_tables
        yield Difference(name, tuple(tell(ours[name], theirs[name])))


def only_in(a: Path, b: Path) -> list[str]:
    """The files that A holds and B doesn't; of an archive's B those of its layer, which is all that was frozen."""
    ours, theirs = files_of(a), files_of(b)
    frozen = {layer_of(name) for name in theirs} if (b / MANIFEST).is_file() else {layer_of(name) for name in ours}
    return sorted(name for name in ours.keys() - theirs.keys() if layer_of(name) in frozen)


def layer_of(name: str) -> str:
    """The convolution that a file is of; empty for those of all."""
    return next((part for part in name.split("/") if part.startswith("conv")), "")


def origin(study: Path) -> str:
    """What an archive's manifest, all of it checked, says of its making; empty for a study's own folder."""
    if not (study / MANIFEST).is_file():
        return ""
    frozen = checked(study)["frozen"]
    return f"frozen {frozen['at']}, commit {frozen['commit'][:9]}, {frozen['machine']['processor']}"


def _of_arrays(a: Path, b: Path) -> Iterator[str]:
    ours, theirs = load_array(a), load_array(b)
    if ours.shape != theirs.shape:
        yield f"shape {ours.shape} in A, {theirs.shape} in B"
    elif (apart := ours != theirs).any():
        largest = np.abs(ours.astype(np.float64) - theirs).max()
        yield f"{apart.sum():,} of {ours.size:,} numbers, by at most {largest:.3g}"


def _of_tables(a: Path, b: Path) -> Iterator[str]:
    """A line for each column that differs, where rows of the same name are compared."""
    ours, theirs = read_table(a), read_table(b)
    # The channel names a row of statistics; in a ranking it is what the row says.
    names = [n for n in (*NAMES, *(() if "order" in ours else ("channel",))) if n in ours and n in theirs]
    for column in sorted(set(ours) ^ set(theirs)):
        yield f"{column}: a column of {'A' if column in ours else 'B'} alone"
    both = ours.merge(theirs, on=names, how="outer", suffixes=("", " of B"), indicator=True)
    for side, where in (("A", "left_only"), ("B", "right_only")):
        if count := int((both["_merge"] == where).sum()):
            yield f"{count:,} rows of {side} alone, the first {_name(both[both['_merge'] == where].iloc[0], names)}"
    both = both[both["_merge"] == "both"]
    for column in ours:
        if column in theirs and column not in (*names, *IGNORED):
            yield from _of_column(both, column, names)


def _of_column(both: pd.DataFrame, column: str, names: list[str]) -> Iterator[str]:
    ours, theirs = both[column], both[f"{column} of B"]
    apart = ~((ours == theirs) | (ours.isna() & theirs.isna()))
    if not apart.any():
        return
    by = ""
    place = int(np.argmax(apart))
    if pd.api.types.is_numeric_dtype(ours) and pd.api.types.is_numeric_dtype(theirs):
        gaps = (ours.astype(float) - theirs.astype(float)).abs().where(apart)
        if gaps.notna().any():
            place = int(np.nanargmax(gaps))
            by = f", by at most {gaps.iloc[place]:.3g}"
    where = f" ({_name(both.iloc[place], names)}: {ours.iloc[place]} in A, {theirs.iloc[place]} in B)"
    yield f"{column}: {int(apart.sum()):,} of {len(both):,} rows{by}{where}"


def _name(row: pd.Series, names: list[str]) -> str:
    return ", ".join(f"{name} {row[name]}" for name in names if name != "dataset")
