"""The environment variables of the jobs of a run."""

import os
import sys
from pathlib import Path


def prepare() -> None:
    """Let jobs use the Python that runs Snakemake, even if its environment is not activated, and find the package."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    # A script finds the package because Python adds the script's folder to its path; this variable forbids it.
    os.environ.pop("PYTHONSAFEPATH", None)
    # An empty entry (PYTHONPATH=$PYTHONPATH:FOLDER) is the working folder, whose files then replace modules of Python.
    if entries := os.environ.get("PYTHONPATH"):
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, entries.split(os.pathsep)))
