"""A user's network as the config names it: its function (network.factory), the code of it, and its files of weights.

Snakemake reads this module at every start. It imports nothing of the user's, and no torch.
"""

import importlib.util
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from prunecurve import provenance
from prunecurve.digests import digests_of_files
from prunecurve.errors import StudyError
from prunecurve.provenance import SEPARATOR, code
from prunecurve.provenance.code import Code

# Of modules with weights. The names are part of file names; torch itself forbids only dots.
NAME = r"\w(?:[\w +-]*[\w+-])?"
MODULE_PATH = rf"{NAME}(?:\.{NAME})*"
# Replaced by the seed in the path of weights (network.weights).
SEED_IN_PATH = "{seed}"
# The key of the setting for the content of a file of weights, and how many digits of `content_digest` it has.
CONTENT_OF_WEIGHTS = "content of network.weights"
DIGITS_OF_WEIGHTS = 16
INSTALLED = {"site-packages", "dist-packages"}


class Factory(NamedTuple):
    """The function of network.factory. place: its file, or its module in a package."""

    place: str
    function: str

    @property
    def is_file(self) -> bool:
        """Whether the function is in a file of the user."""
        return self.place.endswith(".py")


def parsed_factory(text: str) -> Factory:
    """Return what network.factory names; `~` is the home folder."""
    place, _, function = text.rpartition(":")
    return Factory(os.path.expanduser(place), function)


def code_of_network(network: Mapping[str, Any]) -> list[str]:
    """Return the settings for the code of a user's network and for its libraries; none for the built-in network.

    network: the config section. The code is that of the function's file and of all that it imports from its folder; of
    an installed package, only its version counts. Libraries have a setting of their own: jobs in conda environments
    have others than the process that plans them. Raises StudyError, with one line, if the file is missing or cannot be
    parsed.
    """
    if not network["factory"]:
        return []
    factory = parsed_factory(network["factory"])
    versions = sorted(f"{library} {code.version(library)}".strip() for library in code_of(factory)[0].libraries)
    return [_code_setting(factory), f"code of network.factory's libraries{SEPARATOR}{', '.join(versions)}"]


def require_as_planned(factory: Factory) -> None:
    """Raise StudyError if the code of a user's network is not the one that the job and its inputs name.

    The file can be edited while a run goes on, and also back again. A script that is run by hand names no code.
    """
    if provenance.differs(_code_setting(factory)):
        raise StudyError(
            f"network.factory: the code of {':'.join(factory)} was edited after this run had started, or after its "
            "results were computed; run the same command again: everything is then computed with the code as it is"
        )


def _code_setting(factory: Factory) -> str:
    needed, root = code_of(factory)
    return f"code of network.factory{SEPARATOR}{code.digest(needed.files, root)}"


def code_of(factory: Factory) -> tuple[Code, Path]:
    """Return the code that a function needs, and the folder that its imports are looked up in first.

    Of an installed package, it is only the library. One on PYTHONPATH or installed as editable has files like a user's.
    """
    if factory.is_file:
        files, root = [Path(factory.place)], Path(factory.place).parent
        if not files[0].is_file():
            raise StudyError(f"network.factory: there is no file {factory.place}")
    else:
        # A top-level module is found without importing anything.
        top = factory.place.split(".")[0]
        spec = importlib.util.find_spec(top)
        places = [*(spec.submodule_search_locations or []), spec.origin or ""] if spec else [""]
        root = Path(places[0]).absolute().parent
        files = [] if not spec or INSTALLED & set(root.parts) else code.files_of(root, factory.place)
        if not files:
            return Code(set(), {top}, {}), root
    try:
        return code.code_of(files, root), root
    except (OSError, SyntaxError, ValueError) as error:
        raise StudyError(f"network.factory: {files[-1]}, or a file that it imports, cannot be read: {error}") from None


def path_of_weights(weights: str, seed: int) -> str:
    """Return the path of a seed's weights; `~` is the home folder."""
    return os.path.expanduser(weights.replace(SEED_IN_PATH, str(seed)))


def contents_of_weights(network: Mapping[str, Any], seeds: Sequence[int], cache: str | Path) -> dict[int, str]:
    """Return the digest of each seed's file of weights (network.weights); empty if the network is trained.

    The path does not count. cache: see `digests_of_files`. Raises StudyError, with one line, if a file is missing.
    """
    if not network["weights"]:
        return {}
    paths = {seed: path_of_weights(network["weights"], seed) for seed in seeds}
    digests = digests_of_files(".", dict.fromkeys(paths.values()), cache, key="network.weights")
    return {seed: digests[path][:DIGITS_OF_WEIGHTS] for seed, path in paths.items()}
