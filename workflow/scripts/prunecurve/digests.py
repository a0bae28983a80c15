"""The digests of files of the user: images and weights. A second call reads only the files that changed."""

import hashlib
import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prunecurve.errors import StudyError
from prunecurve.files import atomic

# A file that was changed less than this many seconds ago can change again without a new modification time.
SETTLED = 2.0


def content_digest(path: str | Path) -> str:
    """Return 32 hexadecimal digits of a hash over the content of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def digest_of_files(data_dir: str | Path, paths: Iterable[str], cache: str | Path | None = None) -> str:
    """Return 16 hexadecimal digits of a hash over the names and the contents of files; see `digests_of_files`."""
    content = hashlib.sha256()
    for path, digest in digests_of_files(data_dir, paths, cache).items():
        content.update(f"{path}\0{digest}\n".encode(errors="surrogateescape"))
    return content.hexdigest()[:16]


def digests_of_files(
    folder: str | Path, paths: Iterable[str], cache: str | Path | None = None, key: str = "data_dir"
) -> dict[str, str]:
    """Return the digest of the content of each file, 32 hexadecimal digits, by its path.

    paths: relative to the folder, which itself does not count, or absolute. cache: a file that keeps the digests for a
    second call; it may be missing, deleted or in a read-only folder. key: the config key that names the files, for the
    message. Raises StudyError, naming the file, if a file cannot be read.
    """
    try:
        cached = json.loads(Path(cache or "").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        cached = {}
    settled, new, digests = time.time_ns() - int(SETTLED * 1e9), {}, {}
    for path in paths:
        file = os.path.join(folder, path)
        try:
            stat = os.stat(file)
            # A change of any of these means that the file may be different. A changed file gets a new ctime even if its
            # modification time is set back.
            state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
            before, digest = cached.get(path, (None, ""))
            digests[path] = digest if before == state else content_digest(file)
        except OSError as error:
            raise StudyError(f"{key}: {file} cannot be read: {error.strerror or error}") from error
        if max(stat.st_mtime_ns, stat.st_ctime_ns) < settled:
            new[path] = [state, digests[path]]
    if cache and new != cached:
        with suppress(OSError, StudyError), atomic(cache) as temporary:
            Path(temporary).write_text(json.dumps(new), encoding="utf-8")
    return digests
