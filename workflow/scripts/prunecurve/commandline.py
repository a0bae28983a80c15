"""What every script shares: options from a dataclass, a log file, and errors that read like messages."""

import argparse
import dataclasses
import logging
import sys
import typing
from collections.abc import Callable
from pathlib import Path

from prunecurve.errors import StudyError

log = logging.getLogger("prunecurve")


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all scripts have."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--log", type=Path, help="file for the script's log")
    return made


def _boolean(text: str) -> bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


def add_fields(to: argparse.ArgumentParser, settings: type, leave_out: tuple[str, ...] = ()) -> None:
    """Add an option for each field of a dataclass: `--field-name`, its type and default the field's own."""
    hints = typing.get_type_hints(settings)
    for field in dataclasses.fields(settings):
        if field.name in leave_out:
            continue
        several = typing.get_origin(hints[field.name]) is tuple
        kind = typing.get_args(hints[field.name])[0] if several else hints[field.name]
        needed = field.default is dataclasses.MISSING
        to.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=_boolean if kind is bool else kind,
            nargs="+" if several else None,
            required=needed,
            default=None if needed else field.default,
            help=field.metadata.get("help", " "),
        )


def fields_of(settings: type, arguments: argparse.Namespace, **more: object) -> typing.Any:
    """The dataclass from parsed arguments, lists made tuples; `more` are fields that weren't options."""
    values = {f.name: getattr(arguments, f.name) for f in dataclasses.fields(settings) if f.name not in more}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return settings(**values, **more)


def run(work: Callable[[argparse.Namespace], None], arguments: argparse.Namespace, *, chatty: bool = False) -> None:
    """Do a script's work under its log, and exit with 1 and a message where it fails.

    The log file gets everything, tracebacks included. The terminal gets warnings and errors, and the
    progress too if `chatty`: a study has thousands of jobs, most of which should say nothing.
    """
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel(logging.INFO if chatty else logging.WARNING)
    # A traceback belongs in the log; on the terminal the message alone is what a user can act on.
    terminal.setFormatter(_OneLine("%(message)s"))
    handlers: list[logging.Handler] = [terminal]
    if arguments.log:
        arguments.log.parent.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(arguments.log, mode="w", encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        handlers.append(file)
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    name = Path(sys.argv[0]).stem
    try:
        work(arguments)
    except StudyError as error:
        log.error("%s: %s", name, error, exc_info=True)
        sys.exit(1)
    except KeyboardInterrupt:
        log.error("%s: interrupted", name)
        sys.exit(130)
    except Exception as error:
        if not arguments.log:
            raise
        log.error("%s: %s: %s; the traceback is in %s", name, type(error).__name__, error, arguments.log, exc_info=True)
        sys.exit(1)


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return record.getMessage()
