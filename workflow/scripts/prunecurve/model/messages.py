"""Texts for messages about a user's network: shapes, names, and errors that its code raised."""

import os
import pickle
import sysconfig
import traceback
from collections.abc import Sequence
from pathlib import Path

import torch

from prunecurve.model.factory import INSTALLED

# Folders of code that is in the traceback of an error but not the cause: torch's and that of this package.
LIBRARIES = (f"{Path(torch.__file__).parent}{os.sep}", f"{Path(__file__).parents[1]}{os.sep}")
STANDARD = sysconfig.get_paths()["stdlib"]


def times(shape: Sequence[int]) -> str:
    """Return a shape in words: `2 × 28 × 28`."""
    return " × ".join(map(str, shape))


def place_of(error: BaseException) -> str:
    """Return the line of the network's code that raised an error: `; FILE, line 3: if x.sum() > 0`.

    It is the last line outside of torch and of this package, and one of the user's own files if there is one.
    """
    # Code that the tracer runs but that lies in no file is torch's own.
    frames = [each for each in traceback.extract_tb(error.__traceback__) if os.path.exists(each.filename)]
    frames = [each for each in frames if not each.filename.startswith(LIBRARIES)]
    installed = [each for each in frames if INSTALLED & set(Path(each.filename).parts)]
    own = [each for each in frames if each not in installed and not each.filename.startswith(STANDARD)] or installed
    return f"; {own[-1].filename}, line {own[-1].lineno}: {own[-1].line}" if own else ""


def named(error: BaseException) -> str:
    """Return an error on one line with its type: `ValueError: width must be even`."""
    return f"{type(error).__name__}: {one_line(error)}" if str(error).strip() else type(error).__name__


def one_line(error: BaseException | str) -> str:
    """Return the first 200 characters of a message on one line; the type of an error that has none."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def not_loaded(error: Exception) -> str:
    """Return why a file of weights was not loaded."""
    # torch's message for a refused file suggests to load it unsafely, so it appears only in the log's traceback.
    refused = isinstance(error, pickle.UnpicklingError)
    return "it is damaged, or holds objects other than weights, which are not loaded" if refused else one_line(error)
