"""Write files atomically."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from prunecurve.errors import StudyError, unwritable


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
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(folder, left))
        yield temporary
        if os.path.exists(path):
            # Imported here because evaluations do not need it.
            import filecmp

            if filecmp.cmp(temporary, path, shallow=False):
                return
        os.replace(temporary, path)
    except OSError as error:
        # This comes before the temporary file is removed, which frees space on a full disk.
        message = unwritable(path if error.filename in (None, temporary) else error.filename, error)
        if message is None:
            raise
        raise StudyError(message) from error
    finally:
        # If nothing can be written, removing can fail too. The first error is the one to report.
        with suppress(OSError):
            os.unlink(temporary)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:
        # Of another user.
        return isinstance(error, PermissionError)
    return True


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text."""
    with atomic(path) as temporary, open(temporary, "w", newline="\n", encoding="utf-8") as file:
        file.write(text)
