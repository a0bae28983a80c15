"""Write and read CSV tables: sealed ones, and plain ones of a whole study (provenance).

Every evaluation job imports this module. It does not import pathlib or other modules that take milliseconds to import.
"""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prunecurve.errors import StudyError, remedy, unreadable
from prunecurve.files import atomic
from prunecurve.provenance import check_seal, is_sealed, read_settings, seal, write_settings


def as_text(value: object) -> str:
    """Return the text of one CSV cell. Floats have their shortest exact form, so that reading gives the same number."""
    return repr(float(value)) if isinstance(value, (float, np.floating)) else str(value)


def write_rows(
    path: str | os.PathLike[str], rows: Sequence[Mapping[str, object]], *, sealed: bool = True, brief: bool = False
) -> None:
    """Write dictionaries with the same keys as a table with a header. sealed: otherwise plain. brief: see `seal`."""
    with atomic(path) as temporary:
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(rows[0])
            writer.writerows([as_text(value) for value in row.values()] for row in rows)
        if sealed:
            seal(temporary, brief=brief)
    if not sealed:
        write_settings(path)


def write_table(path: str | os.PathLike[str], table: Any) -> None:
    """Write a pandas.DataFrame, without its index, as a plain table."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    write_settings(path)


def read_text(path: str | os.PathLike[str], *, sealed: bool | None = None) -> str:
    """Read a table without its seal; verify its checksum. sealed: whether it must have a seal; None: if it has one.

    A plain table without settings is not verified; an archive has such tables, also compressed (`.xz`). Raises
    StudyError, naming the file, if it is missing or is not what was written.
    """
    try:
        if os.fspath(path).endswith(".xz"):
            import lzma

            with lzma.open(path, "rt", newline="", encoding="utf-8") as file:
                return file.read()
        sealed = is_sealed(path) if sealed is None else sealed
        check_seal(path, "CSV file") if sealed else read_settings(path)
        with open(path, newline="", encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, "CSV file", error) from error
    if not text.endswith("\n"):
        raise StudyError(f"{path} is empty or cut off; {remedy(path)}")
    return text[: text.rfind("\n", 0, -1) + 1] if sealed else text


def read_rows(path: str | os.PathLike[str], *, sealed: bool | None = True) -> list[dict[str, str]]:
    """Read a table as dictionaries of text.

    Raises StudyError, naming the file, as `read_text`, and if it has no rows or a row has more or fewer cells.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path, sealed=sealed), newline="")))
    except csv.Error as error:
        raise unreadable(path, "CSV file", error) from error
    if not rows or any(None in row or None in row.values() for row in rows):
        raise StudyError(f"{path} is empty or cut off; {remedy(path)}")
    return rows


def read_columns(path: str | os.PathLike[str], *names: str) -> list[np.ndarray]:
    """Read the named columns of a table of numbers as float64 arrays."""
    rows = read_rows(path)
    return [np.array([float(row[name]) for row in rows]) for name in names]


def read_order(path: str | os.PathLike[str], channels: int) -> np.ndarray:
    """Read a ranking: channel numbers in the order of removal. Raises StudyError if it is not a permutation."""
    (order,) = read_columns(path, "channel")
    if not np.array_equal(np.sort(order), np.arange(channels)):
        raise StudyError(f"{path} is not a ranking of {channels} channels; {remedy(path)}")
    return order.astype(np.int64)
