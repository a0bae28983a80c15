"""Reading and writing artifacts: every write is atomic, what jobs hand on is sealed, nothing is ever unpickled.

A seal is a CRC-32 of the content, written with it and checked by whoever reads: a bit that flips on a disk, or a block
that a power cut left empty, is found before it becomes a result.

Every evaluation job imports this: no pathlib and nothing else that takes milliseconds and isn't needed here.
"""

import csv
import mmap
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import numpy as np

from prunecurve.errors import StudyError, unwritable


def unreadable(path: str | os.PathLike[str], kind: str, error: Exception) -> StudyError:
    """What to tell of a file that can't be read; a good file that the disk withholds needn't be made anew."""
    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError) and error.errno is not None:
        return StudyError(f"{path} can't be read: {error.strerror}")
    return StudyError(f"{path} is not a readable {kind} ({error}); {mend(path)}")


def mend(path: str | os.PathLike[str]) -> str:
    """What to do about a broken artifact; what is a link into a cache comes back unless the cached file goes too."""
    if os.path.islink(path):
        return f"delete it, and what it links to, {os.path.realpath(path)}, and run again"
    return "delete it and run again"


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[str]:
    """Yield a temporary path in the folder of `path`; on success it takes the place of `path`, else it goes.

    The temporary name is this process's own: a job that outlived its killed driver may still be writing the same
    artifact. What processes of this machine left that are no more is cleared away. StudyError, saying what to do,
    where the disk is full or may not be written to.
    """
    folder, name = os.path.split(os.fspath(path))
    own = f".unfinished-{os.uname().nodename}-"
    # The suffix stays last: np.save and matplotlib look at it.
    temporary = os.path.join(folder, f"{own}{os.getpid()}-{name}")
    try:
        os.makedirs(folder or ".", exist_ok=True)
        for left in os.listdir(folder or "."):
            if not left.startswith(own) or not left.endswith(f"-{name}"):
                continue
            if not _is_alive(int(left.removeprefix(own).split("-")[0])):
                _remove(os.path.join(folder, left))
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        # In words before the temporary file goes, which would make room.
        told = unwritable(path if error.filename in (None, temporary) else error.filename, error)
        _remove(temporary)
        if told is None:
            raise
        raise StudyError(told) from error
    except BaseException:
        _remove(temporary)
        raise


def _remove(path: str) -> None:
    # Where nothing can be written, nothing can be removed either; the error that led here is the one to tell.
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


# What a file of arrays or of a model ends with. Numpy reads as many bytes as the header tells, and torch what the
# archive's directory tells: neither sees it.
SEAL = "\ncrc32 {:08x}\n"
SEAL_LENGTH = len(SEAL.format(0))


def _crc_of_file(path: str | os.PathLike[str], end: int) -> int:
    """The CRC-32 of the first `end` bytes, at least one, of a file."""
    # Mapped and not read: copying what is in memory already would take half as long as the checksum.
    with open(path, "rb") as file, mmap.mmap(file.fileno(), end, access=mmap.ACCESS_READ) as content:
        return zlib.crc32(content)


def seal(path: str) -> None:
    """End a file that was just written with the checksum of what it holds."""
    text = SEAL.format(_crc_of_file(path, os.path.getsize(path)))
    with open(path, "ab") as file:
        file.write(text.encode())


def check_seal(path: str | os.PathLike[str], kind: str = ".npy array") -> None:
    """Raise StudyError, naming the file, unless it is what was sealed, byte for byte."""
    try:
        end = os.path.getsize(path) - SEAL_LENGTH
        with open(path, "rb") as file:
            file.seek(max(end, 0))
            found = file.read()
        intact = end > 0 and found == SEAL.format(_crc_of_file(path, end)).encode()
    except OSError as error:
        raise unreadable(path, kind, error) from error
    if not intact:
        raise StudyError(f"{path} is damaged: it is cut off, or its checksum doesn't fit its content; {mend(path)}")


def save_array(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Write one array as `.npy`, sealed."""
    with atomic(path) as temporary:
        np.save(temporary, array, allow_pickle=False)
        seal(temporary)


@contextmanager
def streamed_array(path: str | os.PathLike[str], shape: Sequence[int]) -> Iterator[np.ndarray]:
    """A float32 array on disk, to be filled piece by piece: the system, and not this process, keeps it in memory."""
    with atomic(path) as temporary:
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=tuple(shape))
        # On a full disk, writing to mapped pages would end the process without a word; this is an error, and is told.
        if hasattr(os, "posix_fallocate"):
            with open(temporary, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, os.path.getsize(temporary))
        yield array
        array.flush()
        seal(temporary)


# A record's header names all its fields: more bytes than numpy parses of one by default, enough for any network.
RECORD_HEADER = 1_000_000


def load_array(
    path: str | os.PathLike[str],
    *,
    shape: Sequence[int | None] | None = None,
    mapped: bool = False,
    longest_header: int = 10_000,
) -> np.ndarray:
    """Read a sealed `.npy` file, memory-mapped if `mapped`.

    `shape` is what the array must have, None standing for any length. Raises StudyError, naming the
    file, when it is missing, truncated or changed, holds Python objects or has another shape.
    """
    check_seal(path)
    try:
        array = np.load(path, allow_pickle=False, mmap_mode="r" if mapped else None, max_header_size=longest_header)
    # SyntaxError, TokenError, …: numpy lets through what parsing a damaged header raises.
    except Exception as error:
        raise unreadable(path, ".npy array", error) from error
    if not isinstance(array, np.ndarray):
        raise StudyError(f"{path} is not a single .npy array; {mend(path)}")
    wanted = array.shape if shape is None else tuple(shape)
    if len(wanted) != array.ndim or any(w not in (None, n) for w, n in zip(wanted, array.shape)):
        expected = " × ".join("any" if n is None else str(n) for n in wanted)
        raise StudyError(f"{path} has shape {array.shape}, expected {expected}; {mend(path)}")
    return array


def save_arrays(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as one `.npy` of a single record, a field each; the same arrays give the same bytes.

    Not as `.npz`: a job that reads one spends more time on importing zipfile than on evaluating.
    """
    fields = [(name, np.asarray(array).dtype, np.shape(array)) for name, array in arrays.items()]
    record = np.zeros((), np.dtype(fields, align=True))
    for name, array in arrays.items():
        record[name] = array
    save_array(path, record)


def load_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read all arrays that `save_arrays` wrote; StudyError, naming the file, when that can't be done safely."""
    record = load_array(path, shape=(), longest_header=RECORD_HEADER)
    if record.dtype.names is None:
        raise StudyError(f"{path} holds no named arrays; {mend(path)}")
    return {name: record[name] for name in record.dtype.names}


def as_text(value: object) -> str:
    """One CSV cell; floats in their shortest exact form, so that reading gives back the same number."""
    return repr(float(value)) if isinstance(value, (float, np.floating)) else str(value)


# The column of a sealed CSV file.
CHECKSUM = "crc32"


def _checksum(names: Sequence[str], cells: Sequence[str], place: int, rows: int) -> str:
    """Of a row, its header, its place and how many rows there are: none can be lost or change places unnoticed."""
    return f"{zlib.crc32('|'.join([*names, *cells, f'{place}/{rows}']).encode()):08x}"


def write_rows(path: str | os.PathLike[str], rows: Sequence[Mapping[str, object]], *, sealed: bool = True) -> None:
    """Write dictionaries with the same keys as a CSV file with a header.

    sealed: with a last column `crc32`. Tables of a whole study, which people and other programs read, have none.
    """
    names = list(rows[0])
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*names, CHECKSUM] if sealed else names)
        for place, row in enumerate(rows):
            cells = [as_text(value) for value in row.values()]
            writer.writerow([*cells, _checksum(names, cells, place, len(rows))] if sealed else cells)


def read_rows(path: str | os.PathLike[str], *, sealed: bool = True) -> list[dict[str, str]]:
    """Read a CSV file as dictionaries of text, without the column of checksums, which are checked.

    Raises StudyError, naming the file, when it is missing, has no rows, or a row isn't what was written.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise unreadable(path, "CSV file", error) from error
    if not rows or any(None in row or None in row.values() for row in rows):
        raise StudyError(f"{path} is empty or cut off; {mend(path)}")
    for place, row in enumerate(rows) if sealed else ():
        checksum = row.pop(CHECKSUM, None)
        if checksum != _checksum(list(row), list(row.values()), place, len(rows)):
            raise StudyError(
                f"{path} is damaged: row {place + 1} isn't what was written, or some are missing; {mend(path)}"
            )
    return rows


def read_columns(path: str | os.PathLike[str], *names: str) -> list[np.ndarray]:
    """The named columns of a CSV file of numbers, as float64 arrays."""
    rows = read_rows(path)
    try:
        return [np.array([float(row[name]) for row in rows]) for name in names]
    except (KeyError, ValueError) as error:
        raise StudyError(f"{path} lacks a column or a number ({error}); {mend(path)}") from error


def read_order(path: str | os.PathLike[str], channels: int) -> np.ndarray:
    """A ranking's channel numbers, the first to be pruned first; StudyError if it is no permutation."""
    (order,) = read_columns(path, "channel")
    if not np.array_equal(np.sort(order), np.arange(channels)):
        raise StudyError(f"{path} is not a ranking of {channels} channels; {mend(path)}")
    return order.astype(np.int64)
