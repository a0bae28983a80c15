"""What every script shares: a log file, the settings that its outputs carry, and readable error messages.

Every evaluation job imports this module, so it imports little.
"""

import argparse
import faulthandler
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from prunecurve import provenance
from prunecurve.errors import StudyError, unwritable

log = logging.getLogger("prunecurve")


# Options of several scripts, with the same meaning in each.
SHARED: dict[str, dict[str, Any]] = {
    "--layer": {"required": True, "help": "module path of the layer, for example conv3"},
    "--batch-size": {"type": int, "default": 250, "help": "inputs per forward pass"},
    "--device": {"default": "auto", "help": "auto, cpu or cuda"},
    "--threads": {"type": int, "default": 1, "help": "number of torch threads"},
    "--seed": {"type": int, "required": True, "help": "seed of the study"},
    "--seeds": {"nargs": "+", "required": True, "help": "seeds of the study, values of {seed}"},
    "--criteria": {"nargs": "+", "required": True, "help": "names of the rankings, values of {criterion}"},
    "--criterion": {"required": True, "help": "value of the column criterion"},
    "--features": {"required": True, "help": "the split's maps, as the layers behind the pruned one read them"},
    "--dataset": {"required": True, "help": "name of the data set"},
    "--budget": {"nargs": 2, "required": True, "metavar": ("KEY", "VALUE"), "help": "macs, params or tolerance"},
}


def parser(description: str | None, *shared: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all scripts have, and with some of SHARED."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for name in shared:
        options.add_argument(name, **SHARED[name])
    options.add_argument("--log", help="file for the script's log")
    options.add_argument(
        "--settings", nargs="*", default=[], metavar="KEY: VALUE", help="what the outputs are recorded to be made with"
    )
    return options


def add_split(cli: argparse.ArgumentParser, option: str, split: str, *, required: bool = True) -> None:
    """Add an option for the files of a split; if it is not required, it may have no values."""
    files = f"files of the {split} split: its images, the images of each input, the labels"
    metavar = ("IMAGES", "INPUTS", "LABELS") if required else "FILE"
    cli.add_argument(option, nargs=3 if required else "*", metavar=metavar, required=required, help=files)


def add_section(cli: argparse.ArgumentParser, option: str, section: Any, help: str) -> None:
    """Add an option for a section of the config as JSON; keys that are left out have their defaults.

    section: the pydantic model. It is not imported here, because jobs without torch import no pydantic.
    """

    def read(text: str) -> Any:
        try:
            return section.model_validate_json(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    keys = ", ".join(section.model_fields)
    cli.add_argument(option, type=read, default=section(), metavar="JSON", help=f"{help}; keys: {keys}")


def run(work: Callable[[argparse.Namespace], None], arguments: argparse.Namespace, *, chatty: bool = False) -> None:
    """Run a script's work under its log and end the process: with 1 and a message if it fails.

    The log file gets everything; of unexpected errors the traceback too. The terminal gets warnings and errors. Of a
    `chatty` script it gets the progress too when the script is run by hand, and errors alone when there is a log file,
    from which the workflow reads what to show: a second writer to the terminal would break its live display.
    """
    terminal = logging.StreamHandler(sys.stderr)
    quiet = logging.ERROR if arguments.log else logging.INFO
    terminal.setLevel(quiet if chatty else logging.WARNING)
    terminal.setFormatter(logging.Formatter("%(message)s"))
    handlers: list[logging.Handler] = [terminal]
    name = os.path.splitext(os.path.basename(sys.argv[0]))[0]
    if arguments.log:
        try:
            os.makedirs(os.path.dirname(arguments.log) or ".", exist_ok=True)
            file = logging.FileHandler(arguments.log, mode="w", encoding="utf-8")
        except OSError as error:
            sys.exit(f"{name}: {unwritable(arguments.log, error) or error}")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        handlers.append(file)
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    # On a full disk the terminal has the message, which logging's own traceback would hide.
    logging.raiseExceptions = False
    # A mapped block that the disk fails to deliver ends the process: this prints at least where.
    faulthandler.enable()
    # A scheduler ends a job with SIGTERM. As an exception, like Ctrl-C, it reaches the clean-up of half-written files.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    provenance.start(arguments.settings)
    try:
        work(arguments)
    except StudyError as error:
        log.error("%s: %s", name, error)
        sys.exit(1)
    except KeyboardInterrupt:
        log.error("%s: interrupted", name)
        sys.exit(130)
    except Exception as error:
        if not arguments.log:
            raise
        log.error("%s: %s: %s; the traceback is in %s", name, type(error).__name__, error, arguments.log)
        # Not for the terminal, where the message alone says what to do.
        log.info("", exc_info=True)
        sys.exit(1)
    finally:
        provenance.stop()
    # All outputs are written. Python would now delete each module and object, up to a second if torch is among them.
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
