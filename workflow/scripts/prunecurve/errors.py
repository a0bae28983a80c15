"""The one exception that a user may meet: its message says what to mend."""

import errno
import os


class StudyError(Exception):
    """A mistake in the config, the data or an artifact; the message names the key or the file to mend."""


def unwritable(path: str | os.PathLike[str], error: OSError) -> str | None:
    """What to do about a disk that refused to take a file, in a sentence that names the file; None for other errors."""
    folder = os.path.dirname(os.path.abspath(path))
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or (error.errno is None and _is_full(folder)):
        return f"{path} can't be written: no space is left in {folder}; make room there and run the same command again"
    if error.errno == errno.EROFS:
        return f"{path} can't be written: {folder} is read-only; make it writable and run the same command again"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path} can't be written: you have no permission in {folder}; get it and run the same command again"
    return None


def _is_full(folder: str) -> bool:
    """Whether a disk has no room for a page: numpy's error for a short write has no number."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return False
    return disk.f_blocks > 0 and disk.f_bavail * disk.f_frsize < 65536
