"""What a result was made with, carried from a job's inputs to its outputs, and a checksum of the result.

A setting is a line `KEY: VALUE`: a key of the config that the job depends on, or the digest of the code that ran
(code.py). A job gets its own settings from the option `--settings`; those of its inputs it reads from the inputs, not
from the config. So a file that was not made again when the config changed (`--touch`, `--rerun-triggers mtime`) names
the old value, and freezing an archive refuses it.

Files that jobs pass to other jobs, also through a cache, have their settings in their last line, the seal:

    #<tab>KEY: VALUE<tab>KEY: VALUE<tab>crc32 0123abcd

The CRC-32 covers all that precedes it, so that a file that was cut off or changed is detected. Numpy and torch do not
read this line: numpy reads as many bytes as the header of the file says, torch as many as the directory of its archive
says. The tables of a study, which other programs read, are plain; the same is in a file next to them,
`curve.csv.settings` for `curve.csv`.

Every evaluation job imports this module. It does not import pathlib or other modules that take milliseconds to import.
"""

import os
import zlib
from collections.abc import Iterable, Sequence

from prunecurve.errors import StudyError, remedy, unreadable
from prunecurve.files import write_text

SEPARATOR = ": "
# What a brief file has instead of its settings, with their checksum: one of the thousands of files of a sweep.
BRIEF = "made with "
# The setting of a job that read a file without settings, or a brief one whose settings it read nowhere in full.
UNKNOWN = "file of other settings than the rest"
# Bytes of the checksum, the end of the last line.
LENGTH = len("\tcrc32 0123abcd\n")
# Settings have some thousand bytes. At most this many bytes are read.
MOST = 1 << 16
# Bytes of a file that are read at once.
BLOCK = 1 << 18

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


def differs(line: str) -> bool:
    """Return whether the job or its inputs name a different value of a setting than this line; False without any."""
    key = line.partition(SEPARATOR)[0] + SEPARATOR
    return any(each != line for each in _lines if each.startswith(key))


def _inherit(lines: Sequence[str], path: str) -> None:
    """Add the settings of an input, the file `path`. One key may get several values: then the outputs carry all."""
    if not _active:
        return
    if not lines or lines[0].startswith(BRIEF):
        _brief.setdefault("".join(lines), path)
    else:
        _full.add(tuple(lines))
        _lines.update(lines)


def _settings_of_outputs() -> list[str]:
    """Return the settings that an output of the job carries, sorted."""
    full = {_brief_line(each) for each in _full} if _brief else set()
    return sorted(_lines | {f"{UNKNOWN}{SEPARATOR}{path}" for line, path in _brief.items() if line not in full})


def _brief_line(lines: Sequence[str]) -> str:
    """Return the line that a brief file has instead of these settings."""
    return f"{BRIEF}{zlib.crc32(chr(10).join(lines).encode()):08x}"


def seal(path: str, *, brief: bool = False) -> None:
    """Append the settings of the running job, and a checksum, to a new file.

    brief: only a checksum of the settings. A job that reads the file finds them in another one.
    """
    lines = _settings_of_outputs()
    start = "" if path.endswith(".csv") else "\n"
    line = start + "\t".join(["#", *([_brief_line(lines)] if brief and lines else lines)])
    crc = zlib.crc32(line.encode(), _crc_of_file(path, os.path.getsize(path)))
    with open(path, "ab") as file:
        file.write(line.encode() + _checksum(crc))


def check_seal(path: str | os.PathLike[str], kind: str = ".npy array") -> list[str]:
    """Verify the checksum at the end of a file; return the settings that are stored in the file.

    Raises StudyError, naming the file, if the content is not what was written, byte for byte.
    """
    try:
        last, checksum = _last_line(path), _checksum(_crc_of_file(path, os.path.getsize(path) - LENGTH))
        # In archives of older versions, the checksum is a line of its own, without the tab.
        intact = last[-LENGTH:] in (checksum, checksum[1:])
    except OSError as error:
        raise unreadable(path, kind, error) from error
    if not intact:
        raise StudyError(
            f"{path} is damaged: it is cut off, or its content does not match its checksum; {remedy(path)}"
        )
    lines = last.decode(errors="replace").split("\t")[1:-1]
    _inherit(lines, os.fspath(path))
    return lines


def is_sealed(path: str | os.PathLike[str]) -> bool:
    """Return whether a file ends with a seal."""
    return _last_line(path).startswith(b"#\t")


def _checksum(crc: int) -> bytes:
    return f"\tcrc32 {crc:08x}\n".encode()


def _last_line(path: str | os.PathLike[str]) -> bytes:
    with open(path, "rb") as file:
        file.seek(max(os.path.getsize(path) - MOST, 0))
        content = file.read()
    return content[content.rfind(b"\n", 0, -1) + 1 :]


def _crc_of_file(path: str | os.PathLike[str], end: int) -> int:
    """Return the CRC-32 of the first `end` bytes of a file."""
    crc = 0
    with open(path, "rb", buffering=0) as file:
        while end > 0 and (block := file.read(min(end, BLOCK))):
            crc, end = zlib.crc32(block, crc), end - len(block)
    return crc


def write_settings(path: str | os.PathLike[str]) -> None:
    """Write the settings file of a plain table that was written, unless the job has no settings."""
    if lines := _settings_of_outputs():
        title = f"# What {os.path.basename(path)} was made with."
        write_text(f"{os.fspath(path)}.settings", "\n".join([title, _checksum_line(path), *lines, ""]))


def read_settings(path: str | os.PathLike[str]) -> list[str]:
    """Read the settings file of a plain table; return an empty list if there is no such file.

    Raises StudyError, naming the table, if the table was changed after its settings were written.
    """
    file = f"{os.fspath(path)}.settings"
    try:
        with open(file, encoding="utf-8") as content:
            _, checksum, *lines = content.read().splitlines()
        intact = checksum == _checksum_line(path)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise unreadable(file, "list of settings", error) from error
    if not intact:
        raise StudyError(f"{path} was changed after it was written; {remedy(path)}")
    _inherit(lines, "")
    return lines


def _checksum_line(path: str | os.PathLike[str]) -> str:
    return f"crc32: {_crc_of_file(path, os.path.getsize(path)):08x}"


def settings_of(path: str | os.PathLike[str]) -> list[str]:
    """Return the settings that are stored with an artifact of any kind, and verify its checksum."""
    plain = os.fspath(path).endswith(".csv") and not is_sealed(path)
    return read_settings(path) if plain else check_seal(path)
