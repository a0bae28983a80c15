"""What a result was made with: its settings, carried from a job's inputs to its outputs.

A setting is a line `KEY: VALUE`: a key of the config that the job depends on, or the digest of the code that ran
(code.py). A job gets its own settings from the option `--settings`; those of its inputs it reads from the inputs
(seal.py), not from the config. So a file that was not made again when the config changed (`--touch`,
`--rerun-triggers mtime`) names the old value, and freezing an archive refuses it.

Every evaluation job imports this module: of the standard library, it imports only zlib.
"""

import zlib
from collections.abc import Iterable, Sequence

SEPARATOR = ": "
# What a brief file has instead of its settings, with their checksum: one of the thousands of files of a sweep.
BRIEF = "made with "
# The setting of a job that read a file without settings, or a brief one whose settings it read nowhere in full.
UNKNOWN = "file of other settings than the rest"

_active = False
_lines: set[str] = set()
# What has been read: lists of settings, and the first file by what it has in their place.
_full: set[tuple[str, ...]] = set()
_brief: dict[str, str] = {}


def start(own: Iterable[str]) -> None:
    """Begin a job with its own settings; until then, and after `stop`, nothing is recorded and nothing is written."""
    global _active
    stop()
    _active = True
    _lines.update(own)


def stop() -> None:
    """End the job."""
    global _active
    _active = False
    for recorded in (_lines, _full, _brief):
        recorded.clear()


def inherit(lines: Sequence[str], path: str = "") -> None:
    """Add the settings of an input, the file `path`. One key may get several values: then the outputs carry all."""
    if not _active:
        return
    if not lines or lines[0].startswith(BRIEF):
        _brief.setdefault("".join(lines), path)
    else:
        _full.add(tuple(lines))
        _lines.update(lines)


def differs(line: str) -> bool:
    """Return whether the job or its inputs name a different value of a setting than this line; False without any."""
    key = line.partition(SEPARATOR)[0] + SEPARATOR
    return any(each != line for each in _lines if each.startswith(key))


def lines() -> list[str]:
    """Return the settings that an output of the job carries, sorted."""
    known = {brief(each) for each in _full} if _brief else set()
    return sorted(_lines | {f"{UNKNOWN}{SEPARATOR}{path}" for line, path in _brief.items() if line not in known})


def brief(lines: Sequence[str]) -> str:
    """Return the line that a brief file has instead of these settings."""
    return f"{BRIEF}{zlib.crc32(chr(10).join(lines).encode()):08x}"
