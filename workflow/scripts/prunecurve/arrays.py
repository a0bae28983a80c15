"""Write and read arrays, `.npy` files that end with a seal (provenance). Nothing is ever unpickled.

Every evaluation job imports this module. It does not import pathlib or other modules that take milliseconds to import.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from prunecurve.errors import StudyError, remedy, unreadable
from prunecurve.files import atomic
from prunecurve.provenance import check_seal, seal

# The header of a record names all its fields, so it can exceed numpy's default limit. This is enough for any network.
LONGEST_HEADER = 1_000_000


def save_array(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Write one array."""
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


def load_array(
    path: str | os.PathLike[str], *, shape: Sequence[int | None] | None = None, mapped: bool = False
) -> np.ndarray:
    """Read an array and verify its checksum; memory-mapped if `mapped`.

    shape: the shape that the array must have; None allows any length. Raises StudyError, naming the file, if it is
    missing, truncated or changed, contains Python objects or has another shape.
    """
    check_seal(path)
    try:
        array = np.load(path, allow_pickle=False, mmap_mode="r" if mapped else None, max_header_size=LONGEST_HEADER)
    # All exceptions: parsing a damaged header can raise SyntaxError, TokenError and others, which numpy does not catch.
    except Exception as error:
        raise unreadable(path, ".npy array", error) from error
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
    record = load_array(path, shape=())
    return {name: record[name] for name in record.dtype.names or ()}
