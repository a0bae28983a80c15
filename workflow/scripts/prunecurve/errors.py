"""The exception for errors that the user can fix, and messages for files that cannot be written or read."""

import errno
import os
from collections.abc import Sequence
from typing import TypeVar

Value = TypeVar("Value")


class StudyError(Exception):
    """An error in the config, the data or an artifact. The message names the config key or the file to fix."""


def required(value: Value | None, message: str) -> Value:
    """Return a value that a caller may leave out, but must give here. Raises StudyError with this message for None."""
    if value is None:
        raise StudyError(message)
    return value


def some(names: Sequence[object], most: int = 10) -> str:
    """Return the first names as text, and how many more there are."""
    return ", ".join(map(str, names[:most])) + (f" and {len(names) - most} more" if len(names) > most else "")


def unreadable(path: str | os.PathLike[str], kind: str, error: Exception) -> StudyError:
    """Return the error for a file that cannot be read. If the file itself is damaged, the message says what to do."""
    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError) and error.errno is not None:
        return StudyError(f"{path} cannot be read: {error.strerror}")
    return StudyError(f"{path} is not a readable {kind} ({error}); {remedy(path)}")


def remedy(path: str | os.PathLike[str]) -> str:
    """Return what to do about a damaged artifact. If it is a link into a cache, the cached file must be deleted too."""
    if os.path.islink(path):
        return f"delete it and the file that it links to, {os.path.realpath(path)}, and run again"
    return "delete it and run again"


def unwritable(path: str | os.PathLike[str], error: OSError) -> str | None:
    """Return a message that says why the file `path` cannot be written and what to do about it.

    Returns None unless the disk is full, the file system read-only or a permission missing.
    """
    folder = os.path.dirname(os.path.abspath(path))
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or (error.errno is None and _is_full(folder)):
        cause = f"no space is left in {folder}; free disk space"
    elif error.errno == errno.EROFS:
        cause = f"{folder} is read-only; make it writable"
    elif error.errno in (errno.EACCES, errno.EPERM):
        cause = f"you have no write permission in {folder}; change the folder's permissions"
    else:
        return None
    return f"{path} cannot be written: {cause} and run the same command again"


def _is_full(folder: str) -> bool:
    """Return whether the disk has less than 64 KiB free. Numpy's error for a short write has no errno."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return False
    return disk.f_blocks > 0 and disk.f_bavail * disk.f_frsize < 65536
