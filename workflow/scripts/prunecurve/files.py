"""Read and write artifacts. Writes are atomic, and nothing is ever unpickled.

What jobs pass to other jobs is sealed (provenance/seal.py): every reader verifies the checksum, so that a flipped bit
or a block that a power cut left empty is detected before it affects a result.

Every evaluation job imports this module. It does not import pathlib or other modules that take milliseconds to import.
"""

import csv
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from prunecurve.errors import StudyError, remedy, unreadable, unwritable
from prunecurve.provenance.seal import check_seal, is_sealed, read_settings, seal, settings_file, settings_text


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[str]:
    """Yield a temporary path in the folder of `path`. On success the file replaces `path`, otherwise it is removed.

    The temporary name contains the process ID, because a job may continue after its Snakemake process was killed and
    still write the same artifact. Temporary files of ended processes of this machine are removed. Raises StudyError,
    with what to do, if the disk is full or read-only.

    If `path` has the same bytes already, it keeps its time. Snakemake removes the outputs of a job before it starts the
    job, so a file that exists now was written by another process: the job of a new run, while this one outlived its own
    run. Snakemake compares large files by their time, and a newer one would run everything after it again.
    """
    folder, name = os.path.split(os.fspath(path))
    # `@` ends the name of the machine: no other machine's name can contain it and continue with a number.
    own, suffix = f".unfinished-{os.uname().nodename}@", f"-{name}"
    # The suffix stays at the end, because np.save and matplotlib depend on it.
    temporary = os.path.join(folder, f"{own}{os.getpid()}{suffix}")
    try:
        os.makedirs(folder or ".", exist_ok=True)
        for left in os.listdir(folder or "."):
            process = left[len(own) : -len(suffix)]
            if left == f"{own}{process}{suffix}" and process.isdecimal() and not _is_alive(int(process)):
                _remove(os.path.join(folder, left))
        yield temporary
        if os.path.exists(path) and _same_bytes(temporary, path):
            _remove(temporary)
        else:
            os.replace(temporary, path)
    except OSError as error:
        # Create the message before removing the temporary file: the removal frees space on a full disk.
        message = unwritable(path if error.filename in (None, temporary) else error.filename, error)
        _remove(temporary)
        if message is None:
            raise
        raise StudyError(message) from error
    except BaseException:
        _remove(temporary)
        raise


def _remove(path: str) -> None:
    # If nothing can be written, removing can fail too. The first error is the one to report.
    with suppress(OSError):
        os.unlink(path)


def _same_bytes(first: str, second: str | os.PathLike[str]) -> bool:
    # Imported here because evaluations do not need it.
    import filecmp

    return filecmp.cmp(first, second, shallow=False)


def _is_alive(process: int) -> bool:
    with suppress(PermissionError):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
    return True


def content_digest(path: str | os.PathLike[str]) -> str:
    """Return 32 hexadecimal digits of a hash over the content of a file."""
    # Imported here because evaluations do not need it.
    import hashlib

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def save_array(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Write one array as `.npy`, with its checksum."""
    with atomic(path) as temporary:
        np.save(temporary, array, allow_pickle=False)
        seal(temporary)


@contextmanager
def streamed_array(path: str | os.PathLike[str], shape: Sequence[int]) -> Iterator[np.ndarray]:
    """Yield a float32 array on disk that can be filled piece by piece, without holding it in memory."""
    with atomic(path) as temporary:
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=tuple(shape))
        # On a full disk, writing to mapped memory would kill the process without a message. This call raises an error.
        if hasattr(os, "posix_fallocate"):
            with open(temporary, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, os.path.getsize(temporary))
        yield array
        array.flush()
        seal(temporary)


@contextmanager
def streamed_rows(path: str | os.PathLike[str], shape: Sequence[int]) -> Iterator[Callable[[np.ndarray], object]]:
    """Yield a function that appends rows to a float32 array of this shape on disk; none of them stays in memory."""
    with atomic(path) as temporary:
        with open(temporary, "wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": tuple(shape)}
            np.lib.format.write_array_header_1_0(file, header)
            yield lambda rows: file.write(np.ascontiguousarray(rows, np.float32).reshape(-1).view(np.uint8).data)
        seal(temporary)


# The header of a record names all its fields, so it can exceed numpy's default limit. This is enough for any network.
RECORD_HEADER = 1_000_000


def load_array(
    path: str | os.PathLike[str],
    *,
    shape: Sequence[int | None] | None = None,
    mapped: bool = False,
    longest_header: int = 10_000,
) -> np.ndarray:
    """Read a `.npy` file and verify its checksum; memory-mapped if `mapped`.

    shape: the shape that the array must have; None allows any length. Raises StudyError, naming the file, if it is
    missing, truncated or changed, contains Python objects or has another shape.
    """
    check_seal(path)
    try:
        array = np.load(path, allow_pickle=False, mmap_mode="r" if mapped else None, max_header_size=longest_header)
    # All exceptions: parsing a damaged header can raise SyntaxError, TokenError and others, which numpy does not catch.
    except Exception as error:
        raise unreadable(path, ".npy array", error) from error
    if not isinstance(array, np.ndarray):
        raise StudyError(f"{path} is not a single .npy array; {remedy(path)}")
    wanted = array.shape if shape is None else tuple(shape)
    if len(wanted) != array.ndim or any(w not in (None, n) for w, n in zip(wanted, array.shape)):
        expected = " × ".join("any" if n is None else str(n) for n in wanted)
        raise StudyError(f"{path} has shape {array.shape}, expected {expected}; {remedy(path)}")
    return array


def save_arrays(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as one `.npy` of a single record, one field per array; equal arrays give equal bytes.

    The format is not `.npz`, because importing zipfile takes longer than an evaluation.
    """
    fields = [(name, np.asarray(array).dtype, np.shape(array)) for name, array in arrays.items()]
    record = np.zeros((), np.dtype(fields, align=True))
    for name, array in arrays.items():
        record[name] = array
    save_array(path, record)


def load_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read all arrays that `save_arrays` wrote. Raises StudyError, naming the file, as `load_array` does."""
    record = load_array(path, shape=(), longest_header=RECORD_HEADER)
    if record.dtype.names is None:
        raise StudyError(f"{path} holds no named arrays; {remedy(path)}")
    return {name: record[name] for name in record.dtype.names}


def as_text(value: object) -> str:
    """Return the text of one CSV cell. Floats have their shortest exact form, so that reading gives the same number."""
    return repr(float(value)) if isinstance(value, (float, np.floating)) else str(value)


def write_rows(
    path: str | os.PathLike[str], rows: Sequence[Mapping[str, object]], *, sealed: bool = True, brief: bool = False
) -> None:
    """Write dictionaries with the same keys as a CSV file with a header.

    sealed: whether a last line has the checksum and the settings; `brief`: see `seal`. Tables of a whole study are
    plain, because people and other programs read them: their settings lie next to them, see `settings_file`.
    """
    with atomic(path) as temporary:
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(rows[0])
            writer.writerows([as_text(value) for value in row.values()] for row in rows)
        if sealed:
            seal(temporary, brief=brief)
    if not sealed:
        _write_settings(path)


def write_table(path: str | os.PathLike[str], table: Any) -> None:
    """Write a pandas.DataFrame, without its index, as a plain CSV file, and its settings file."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    _write_settings(path)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text."""
    with atomic(path) as temporary, open(temporary, "w", newline="\n", encoding="utf-8") as file:
        file.write(text)


def _write_settings(path: str | os.PathLike[str]) -> None:
    if text := settings_text(path):
        with atomic(settings_file(path)) as temporary, open(temporary, "w", encoding="utf-8") as file:
            file.write(text)


def read_text(path: str | os.PathLike[str], *, sealed: bool | None = None) -> str:
    """Read a CSV file without its seal; verify its checksum. sealed: whether it must have a seal; None: if it has one.

    A plain table without a settings file is not verified; an archive has such tables, also compressed (`.xz`). Raises
    StudyError, naming the file, if it is missing or is not what was written.
    """
    name = os.fspath(path)
    try:
        if name.endswith(".xz"):
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
    """Read a CSV file as dictionaries of text.

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
    """Read the named columns of a CSV file of numbers as float64 arrays."""
    rows = read_rows(path)
    try:
        return [np.array([float(row[name]) for row in rows]) for name in names]
    except (KeyError, ValueError) as error:
        raise StudyError(f"{path} lacks a column, or a value is not a number ({error}); {remedy(path)}") from error


def read_order(path: str | os.PathLike[str], channels: int) -> np.ndarray:
    """Read a ranking: channel numbers in the order of removal. Raises StudyError if it is not a permutation."""
    (order,) = read_columns(path, "channel")
    if not np.array_equal(np.sort(order), np.arange(channels)):
        raise StudyError(f"{path} is not a ranking of {channels} channels; {remedy(path)}")
    return order.astype(np.int64)
