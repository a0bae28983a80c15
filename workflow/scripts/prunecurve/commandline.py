"""What every script shares: a log file, and errors that read like messages.

Every evaluation job imports this, so it imports little.
"""

import argparse
import faulthandler
import logging
import os
import signal
import sys
from collections.abc import Callable

from prunecurve.errors import StudyError, unwritable

log = logging.getLogger("prunecurve")


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all scripts have."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--log", help="file for the script's log")
    return made


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
    name = os.path.splitext(os.path.basename(sys.argv[0]))[0]
    if arguments.log:
        try:
            os.makedirs(os.path.dirname(arguments.log) or ".", exist_ok=True)
            file = _LogFile(arguments.log, mode="w", encoding="utf-8")
        except OSError as error:
            sys.exit(f"{name}: {unwritable(arguments.log, error) or error}")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        handlers.append(file)
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    # A mapped block that a disk can't give back ends the process: with a word at least of where.
    faulthandler.enable()
    # A scheduler ends a job with SIGTERM: as an exception it reaches the clean-up of half-written files.
    signal.signal(signal.SIGTERM, _terminate)
    try:
        work(arguments)
    except StudyError as error:
        log.error("%s: %s", name, error, exc_info=True)
        sys.exit(1)
    except (KeyboardInterrupt, _Terminated) as error:
        log.error("%s: interrupted", name)
        sys.exit(143 if isinstance(error, _Terminated) else 130)
    except Exception as error:
        if not arguments.log:
            raise
        log.error("%s: %s: %s; the traceback is in %s", name, type(error).__name__, error, arguments.log, exc_info=True)
        sys.exit(1)


class _Terminated(BaseException):
    pass


def _terminate(number: int, frame: object) -> None:
    raise _Terminated


class _LogFile(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """Say nothing: on a full disk the terminal has the message, which logging's own traceback would bury."""


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return record.getMessage()
