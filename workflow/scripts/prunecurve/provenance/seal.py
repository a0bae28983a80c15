"""What a file was made with, and a checksum of its content, so that a file that was cut off or changed is detected.

Files that jobs pass to other jobs, also through a cache, have it in their last line, the seal:

    #<tab>KEY: VALUE<tab>KEY: VALUE<tab>crc32 0123abcd

The CRC-32 covers all that precedes it. Numpy and torch do not read this line: numpy reads as many bytes as the header
of the file says, torch as many as the directory of its archive says. The tables of a study, which other programs
read, are plain; the same is in a file next to them, `curve.csv.settings` for `curve.csv`.

Every evaluation job imports this module. It does not import pathlib or other modules that take milliseconds to import.
"""

import os
import zlib

from prunecurve import provenance
from prunecurve.errors import StudyError, remedy, unreadable
from prunecurve.files import write_text

# Bytes of the checksum, the end of the last line.
LENGTH = len("\tcrc32 0123abcd\n")
# Settings have some thousand bytes. At most this many bytes are read.
MOST = 1 << 16
# Bytes of a file that are read at once.
BLOCK = 1 << 18


def seal(path: str, *, brief: bool = False) -> None:
    """Append the settings of the running job, and a checksum, to a new file.

    brief: only a checksum of the settings. A job that reads the file finds them in another one, see `inherit`.
    """
    lines = provenance.lines()
    start = "" if path.endswith(".csv") else "\n"
    line = start + "\t".join(["#", *([provenance.brief(lines)] if brief and lines else lines)])
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
    provenance.inherit(lines, os.fspath(path))
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
    if lines := provenance.lines():
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
    provenance.inherit(lines)
    return lines


def _checksum_line(path: str | os.PathLike[str]) -> str:
    return f"crc32: {_crc_of_file(path, os.path.getsize(path)):08x}"


def settings_of(path: str | os.PathLike[str]) -> list[str]:
    """Return the settings that are stored with an artifact of any kind, and verify its checksum."""
    plain = os.fspath(path).endswith(".csv") and not is_sealed(path)
    return read_settings(path) if plain else check_seal(path)
