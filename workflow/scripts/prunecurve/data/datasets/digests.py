"""The digests of a data set's files, and of others. A second call reads only the files that changed."""

import hashlib
import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prunecurve.errors import StudyError
from prunecurve.files import atomic, content_digest

# A file that was changed less than this many seconds ago can change again without a new modification time.
SETTLED = 2.0


def digest_of_files(data_dir: str | Path, paths: Iterable[str], cache: str | Path | None = None) -> str:
    """Return 16 hexadecimal digits of a hash over the names and the contents of files.

    data_dir, paths: the folder, and the files as paths relative to it; the folder itself does not count. cache: a file
    for the digests of the single files, so that a second call does not read them again. It may be missing, damaged,
    deleted or in a read-only folder. Raises StudyError, naming the file, if a file cannot be read.
    """
    content = hashlib.sha256()
    for path, digest in digests_of_files(data_dir, paths, cache).items():
        content.update(f"{path}\0{digest}\n".encode(errors="surrogateescape"))
    return content.hexdigest()[:16]


def digests_of_files(
    folder: str | Path, paths: Iterable[str], cache: str | Path | None = None, key: str = "data_dir"
) -> dict[str, str]:
    """Return the digest of the content of each file, 32 hexadecimal digits, by its path.

    paths: relative to the folder, or absolute. key: the config key that names the files, for the message. The other
    arguments and errors are those of `digest_of_files`.
    """
    # A cache holds the digests of one folder, so that it does not grow.
    name = os.path.realpath(folder)
    old = _read_cache(cache, name)
    new, digests = {}, {}
    settled = time.time_ns() - int(SETTLED * 1e9)
    for path in paths:
        file = os.path.join(folder, path)
        try:
            stat = os.stat(file)
            # A change of any of these means that the file may be different. A changed file gets a new ctime even if its
            # modification time is set back.
            state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
            before = old.get(path)
            digest = before[1] if before and before[0] == state else content_digest(file)
        except OSError as error:
            raise StudyError(f"{key}: {file} cannot be read: {error.strerror or error}") from error
        if max(stat.st_mtime_ns, stat.st_ctime_ns) < settled:
            new[path] = (state, digest)
        digests[path] = digest
    if cache and new != old:
        _write_cache(cache, name, new)
    return digests


def _read_cache(cache: str | Path | None, name: str) -> dict:
    try:
        held = json.loads(Path(cache or "").read_text(encoding="utf-8"))
        return {path: (list(key), str(digest)) for path, (key, digest) in held[name].items()}
    # A file that is missing or damaged only costs time.
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _write_cache(cache: str | Path, name: str, digests: dict) -> None:
    with suppress(OSError, StudyError, UnicodeError), atomic(cache) as temporary:
        Path(temporary).write_text(json.dumps({name: digests}), encoding="utf-8")
