"""Reading and writing artifacts: every write is atomic, nothing is ever unpickled."""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from prunecurve.errors import StudyError


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; on success it takes the place of `path`, else it goes.

    The temporary name is this process's own: a job that outlived its killed driver may still be writing the same
    artifact. What processes of this machine left that are no more is cleared away.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    host = os.uname().nodename
    for left in path.parent.glob(f".unfinished-{host}-*-{path.name}"):
        if not _is_alive(int(left.name.removeprefix(f".unfinished-{host}-").split("-")[0])):
            left.unlink(missing_ok=True)
    # The suffix stays last: np.save and matplotlib look at it.
    temporary = path.with_name(f".unfinished-{host}-{os.getpid()}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def save_array(path: str | Path, array: np.ndarray) -> None:
    """Write one array as `.npy`."""
    with atomic(path) as temporary:
        np.save(temporary, array, allow_pickle=False)


def load_array(path: str | Path, *, shape: Sequence[int | None] | None = None, mapped: bool = False) -> np.ndarray:
    """Read a `.npy` file, memory-mapped if `mapped`.

    `shape` is what the array must have, None standing for any length. Raises StudyError, naming the
    file, when it is missing, truncated, holds Python objects or has another shape.
    """
    try:
        array = np.load(path, allow_pickle=False, mmap_mode="r" if mapped else None)
    except (OSError, ValueError, EOFError) as error:
        raise StudyError(f"{path} is not a readable .npy array ({error}); delete it and run again") from error
    if not isinstance(array, np.ndarray):
        raise StudyError(f"{path} is not a single .npy array; delete it and run again")
    wanted = array.shape if shape is None else tuple(shape)
    if len(wanted) != array.ndim or any(w not in (None, n) for w, n in zip(wanted, array.shape)):
        expected = " × ".join("any" if n is None else str(n) for n in wanted)
        raise StudyError(f"{path} has shape {array.shape}, expected {expected}; delete it and run again")
    return array


def save_arrays(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as one uncompressed `.npz`; the same arrays give the same bytes."""
    with atomic(path) as temporary:
        np.savez(temporary, **arrays, allow_pickle=False)


def load_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read all arrays of a `.npz` file; StudyError, naming the file, when that can't be done safely."""
    import zipfile

    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise StudyError(f"{path} is not a readable .npz archive ({error}); delete it and run again") from error


def as_text(value: object) -> str:
    """One CSV cell; floats in their shortest exact form, so that reading gives back the same number."""
    return repr(float(value)) if isinstance(value, (float, np.floating)) else str(value)


def write_rows(path: str | Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write dictionaries with the same keys as a CSV file with a header."""
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rows[0])
        writer.writerows([as_text(value) for value in row.values()] for row in rows)


def read_rows(path: str | Path) -> list[dict[str, str]]:
    """Read a CSV file as dictionaries of text; StudyError, naming the file, when it is missing or has no rows."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StudyError(f"{path} is not a readable CSV file ({error}); delete it and run again") from error
    if not rows or any(None in row or None in row.values() for row in rows):
        raise StudyError(f"{path} is empty or cut off; delete it and run again")
    return rows


def read_columns(path: str | Path, *names: str) -> list[np.ndarray]:
    """The named columns of a CSV file of numbers, as float64 arrays."""
    rows = read_rows(path)
    try:
        return [np.array([float(row[name]) for row in rows]) for name in names]
    except (KeyError, ValueError) as error:
        raise StudyError(f"{path} lacks a column or a number ({error}); delete it and run again") from error
