"""Read and write artifacts. Writes are atomic, files between jobs have a checksum, and nothing is ever unpickled.

The checksum is a CRC-32 of the content. Every reader verifies it, so that a flipped bit or a block that a power cut
left empty is detected before it affects a result. The settings that the artifact was computed with are stored next to
the checksum (see provenance.py).

Every evaluation job imports this module. It does not import pathlib or other modules that take milliseconds to import.
"""

import csv
import mmap
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from prunecurve import provenance
from prunecurve.errors import StudyError, unwritable

# Raise this number when an edit to this file changes the bytes that are written, or the values that are read. Results
# are then computed again. Other edits to this file do not trigger a re-run (see source.py).
FORMAT = 1


def unreadable(path: str | os.PathLike[str], kind: str, error: Exception) -> StudyError:
    """Return the error for a file that cannot be read. If the file itself is damaged, the message says what to do."""
    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError) and error.errno is not None:
        return StudyError(f"{path} can't be read: {error.strerror}")
    return StudyError(f"{path} is not a readable {kind} ({error}); {remedy(path)}")


def remedy(path: str | os.PathLike[str]) -> str:
    """Return what to do about a damaged artifact. If it is a link into a cache, the cached file must be deleted too."""
    if os.path.islink(path):
        return f"delete it and the file that it links to, {os.path.realpath(path)}, and run again"
    return "delete it and run again"


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
        if _same_bytes(temporary, path):
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


def _same_bytes(first: str, second: str | os.PathLike[str]) -> bool:
    """Whether both files exist and have the same bytes. A file that cannot be read is different."""
    try:
        if os.path.getsize(first) != os.path.getsize(second):
            return False
        with open(first, "rb") as one, open(second, "rb") as other:
            while block := one.read(1 << 20):
                if block != other.read(1 << 20):
                    return False
    except OSError:
        return False
    return True


def _remove(path: str) -> None:
    # If nothing can be written, removing can fail too. The first error is the one to report.
    with suppress(OSError):
        os.unlink(path)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


# The end of a file of arrays or of a model: the settings, if there are any, and the checksum. Numpy and torch do not
# read it: numpy reads as many bytes as the header says, torch as many as the directory of its archive says.
SEAL = "\ncrc32 {:08x}\n"
SEAL_LENGTH = len(SEAL.format(0))
SETTINGS_MARK = b"\nsettings\n"
# Settings have some thousand bytes. At most this many bytes are read.
MOST_SETTINGS = 1 << 16


# Bytes of a file that are mapped at once, since mapped pages count as memory of the process.
WINDOW = 1 << 26


def _crc_of_file(path: str | os.PathLike[str], end: int) -> int:
    """Return the CRC-32 of the first `end` bytes of a file; `end` must be positive."""
    crc = 0
    with open(path, "rb") as file:
        for start in range(0, end, WINDOW):
            # Memory-mapped: reading would copy the content, which takes half as long as the checksum itself.
            size = min(WINDOW, end - start)
            with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ, offset=start) as content:
                crc = zlib.crc32(content, crc)
    return crc


def seal(path: str) -> None:
    """Append the settings of the running job, and then a checksum of all that precedes it, to a new file."""
    lines = provenance.lines()
    end = SETTINGS_MARK + "\n".join(lines).encode() if lines else b""
    text = SEAL.format(zlib.crc32(end, _crc_of_file(path, os.path.getsize(path))))
    with open(path, "ab") as file:
        file.write(end + text.encode())


def content_digest(path: str | os.PathLike[str]) -> str:
    """Return 32 hexadecimal digits of a hash over the content of a file."""
    # Imported here because evaluations do not need it.
    import hashlib

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def check_seal(path: str | os.PathLike[str], kind: str = ".npy array") -> list[str]:
    """Verify the checksum at the end of a file; return the settings that are stored in the file.

    Raises StudyError, naming the file, if the content is not what was written, byte for byte.
    """
    try:
        end = os.path.getsize(path) - SEAL_LENGTH
        with open(path, "rb") as file:
            file.seek(max(end - MOST_SETTINGS, 0))
            last = file.read()
        intact = end > 0 and last[-SEAL_LENGTH:] == SEAL.format(_crc_of_file(path, end)).encode()
    except OSError as error:
        raise unreadable(path, kind, error) from error
    if not intact:
        raise StudyError(
            f"{path} is damaged: it is cut off, or its content does not match its checksum; {remedy(path)}"
        )
    _, mark, text = last[:-SEAL_LENGTH].rpartition(SETTINGS_MARK)
    lines = text.decode(errors="replace").split("\n") if mark else []
    provenance.inherit(lines)
    return lines


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
def streamed_rows(path: str | os.PathLike[str], shape: Sequence[int]) -> Iterator[Callable[[np.ndarray], None]]:
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


# The last column of a CSV file with checksums. The settings follow in its name: `crc32 | training.epochs: 8 | …`.
CHECKSUM = "crc32"
NEXT = " | "


def checksum_column(names: Sequence[str]) -> str | None:
    """Return the name of the checksum column; None if the table has none."""
    last = names[-1] if len(names) else ""
    return last if last == CHECKSUM or last.startswith(CHECKSUM + NEXT) else None


def _checksum(names: Sequence[str], cells: Sequence[str], place: int, rows: int) -> str:
    """Return the CRC-32 of a row, the header, the row's position and the number of rows.

    It therefore detects lost and moved rows too.
    """
    return f"{zlib.crc32('|'.join([*names, *cells, f'{place}/{rows}']).encode()):08x}"


def _covered(names: Sequence[str], checksum: str) -> list[str]:
    """Return the part of the header that the checksums cover, including the settings if there are any."""
    return [*names, checksum] if checksum != CHECKSUM else list(names)


def write_rows(path: str | os.PathLike[str], rows: Sequence[Mapping[str, object]], *, sealed: bool = True) -> None:
    """Write dictionaries with the same keys as a CSV file with a header.

    sealed: add a last column of checksums. Tables of a whole study have none, because people and other programs read
    them; their settings are written to a separate file, see `settings_file`.
    """
    names = list(rows[0])
    header = NEXT.join([CHECKSUM, *provenance.lines()])
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*names, header] if sealed else names)
        for place, row in enumerate(rows):
            cells = [as_text(value) for value in row.values()]
            checksum = [_checksum(_covered(names, header), cells, place, len(rows))] if sealed else []
            writer.writerow([*cells, *checksum])
    if not sealed:
        _write_settings(path)


def read_rows(path: str | os.PathLike[str], *, sealed: bool = True) -> list[dict[str, str]]:
    """Read a CSV file as dictionaries of text. Checksums are verified and their column is left out.

    Raises StudyError, naming the file, if it is missing, has no rows, or a row is not what was written.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows, names = list(reader), reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise unreadable(path, "CSV file", error) from error
    if not rows or any(None in row or None in row.values() for row in rows):
        raise StudyError(f"{path} is empty or cut off; {remedy(path)}")
    if not sealed:
        provenance.inherit(read_settings(path))
        return rows
    column = checksum_column(names) or CHECKSUM
    for place, row in enumerate(rows):
        checksum = row.pop(column, None)
        if checksum != _checksum(_covered(list(row), column), list(row.values()), place, len(rows)):
            raise StudyError(f"{path} is damaged: row {place + 1} was changed, or rows are missing; {remedy(path)}")
    provenance.inherit(column.split(NEXT)[1:])
    return rows


def write_table(path: str | os.PathLike[str], table: Any) -> None:
    """Write a pandas.DataFrame, without its index, as a CSV file without checksums, and its settings file."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    _write_settings(path)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text."""
    with atomic(path) as temporary, open(temporary, "w", newline="\n", encoding="utf-8") as file:
        file.write(text)


def settings_file(path: str | os.PathLike[str]) -> str:
    """Return the path of the settings of a table without checksums: `curve.csv.settings` for `curve.csv`."""
    return f"{os.fspath(path)}.settings"


def _write_settings(path: str | os.PathLike[str]) -> None:
    if lines := provenance.lines():
        with atomic(settings_file(path)) as temporary, open(temporary, "w", encoding="utf-8") as file:
            checksum = f"{_crc_of_file(path, os.path.getsize(path)):08x}"
            file.write(
                "\n".join([f"# What {os.path.basename(path)} was made with.", f"{CHECKSUM}: {checksum}", *lines, ""])
            )


def read_settings(path: str | os.PathLike[str]) -> list[str]:
    """Read the settings file of a table without checksums; return an empty list if there is no such file.

    Raises StudyError, naming the table, if the table was changed after its settings were written.
    """
    try:
        with open(settings_file(path), encoding="utf-8") as file:
            _, checksum, *lines = file.read().splitlines()
        intact = checksum == f"{CHECKSUM}: {_crc_of_file(path, os.path.getsize(path)):08x}"
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise unreadable(settings_file(path), "list of settings", error) from error
    if not intact:
        raise StudyError(f"{path} was changed after it was written; {remedy(path)}")
    return lines


def settings_of(path: str | os.PathLike[str]) -> list[str]:
    """Return the settings that are stored with an artifact of any kind, and verify its checksum."""
    name = os.fspath(path)
    if name.endswith((".npy", ".pt")):
        return check_seal(path)
    with open(path, newline="", encoding="utf-8") as file:
        column = checksum_column(next(csv.reader(file), []))
    if column is None:
        return read_settings(path)
    read_rows(path)
    return column.split(NEXT)[1:]


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
