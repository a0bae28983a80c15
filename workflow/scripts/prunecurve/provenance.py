"""The settings that an artifact was made with, carried from a job's inputs to its outputs.

A setting is a line `KEY: VALUE`: a key of the config that the job depends on, or the digest of the code that ran. A job
gets its own settings from the option `--settings`; those of its inputs it reads from the inputs, not from the config.
So a file that was not made again when the config changed (`--touch`, `--rerun-triggers mtime`) names the old value.

Every evaluation job imports this module: it imports nothing.
"""

from collections.abc import Iterable

SEPARATOR = ": "

_active = False
_lines: set[str] = set()


def start(own: Iterable[str]) -> None:
    """Begin a job with its own settings; until then, and after `stop`, nothing is recorded and nothing is written."""
    global _active
    _active = True
    _lines.clear()
    _lines.update(own)


def stop() -> None:
    """End the job."""
    global _active
    _active = False
    _lines.clear()


def inherit(lines: Iterable[str]) -> None:
    """Add the settings of an input. One key may get several values: then the outputs carry all of them."""
    if _active:
        _lines.update(lines)


def differs(line: str) -> bool:
    """Return whether the job or its inputs name another value of a setting than this line; False if they name none."""
    key = line.partition(SEPARATOR)[0] + SEPARATOR
    return any(each != line for each in _lines if each.startswith(key))


def lines() -> list[str]:
    """The settings that an output of the job carries, sorted."""
    return sorted(_lines)
