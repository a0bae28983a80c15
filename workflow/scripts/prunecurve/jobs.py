"""The environment variables of the jobs of a run."""

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path


def prepare(variables: MutableMapping[str, str] = os.environ) -> None:
    """Let jobs use the Python that runs Snakemake, even if its environment is not activated, and find the package."""
    variables["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), variables.get("PATH", "")])
    # A script finds the package because Python adds the script's folder to its path; this variable forbids it.
    variables.pop("PYTHONSAFEPATH", None)
    # An empty entry (PYTHONPATH=$PYTHONPATH:FOLDER) is the working folder, whose files then replace modules of Python.
    if entries := variables.get("PYTHONPATH"):
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, entries.split(os.pathsep)))
