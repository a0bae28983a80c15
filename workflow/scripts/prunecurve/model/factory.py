"""The function that returns a user's network (network.factory), as the config names it. Nothing of it is imported here.

Snakemake reads this module at every start, and it imports no torch.
"""

import os
import re
from typing import NamedTuple

from prunecurve.errors import StudyError

FORMS = "FILE.py:FUNCTION or package.module:FUNCTION"
# Of modules with weights. The names are part of file names; torch itself forbids only dots.
NAME = r"\w(?:[\w +-]*[\w+-])?"
MODULE_PATH = rf"{NAME}(?:\.{NAME})*"
# Replaced by the seed in the path of weights (network.weights).
SEED_IN_PATH = "{seed}"
# The key of the setting for the content of a file of weights.
CONTENT_OF_WEIGHTS = "content of network.weights"
# This many digits of `files.content_digest` are in it.
DIGITS_OF_WEIGHTS = 16


class Factory(NamedTuple):
    """A function of the file `file` or of the module `module` of an installed package; the other one is empty."""

    text: str
    function: str
    file: str = ""
    module: str = ""


def parsed_factory(text: str) -> Factory:
    """Return what network.factory names; `~` is the home folder. Raises StudyError if it has a different form."""
    if wrong := wrong_form(text):
        raise StudyError(f"network.factory: {text} {wrong}")
    place, _, function = text.rpartition(":")
    if place.endswith(".py"):
        return Factory(text, function, file=os.path.expanduser(place))
    return Factory(text, function, module=place)


def wrong_form(text: str) -> str | None:
    """Return what is wrong with the form of network.factory; None if it is one of FORMS."""
    place, _, function = text.rpartition(":")
    if not function.isidentifier() or not place:
        return f"does not name a function; write {FORMS}"
    if not place.endswith(".py") and not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", place):
        return f"names neither a file that ends in .py nor a module; write {FORMS}"
    return None


def path_of_weights(weights: str, seed: int) -> str:
    """Return the path of a seed's weights; `~` is the home folder."""
    return os.path.expanduser(weights.replace(SEED_IN_PATH, str(seed)))
