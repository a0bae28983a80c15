"""What the results of a user's network depend on, known before any job runs: its code and weights. Imports no torch."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prunecurve import provenance
from prunecurve.data.datasets.digests import digests_of_files
from prunecurve.errors import StudyError
from prunecurve.network.factory import CONTENT_OF_WEIGHTS, parsed_factory, path_of_weights
from prunecurve.network.factory_source import code_settings_of


def code_of_network(network: Mapping[str, Any]) -> list[str]:
    """Return the settings for the code of a user's network and its libraries; none for the built-in one.

    network: the config section. Raises StudyError, with one line, for what is wrong with the code without running it:
    see `factory_source.code_of`.
    """
    return code_settings_of(parsed_factory(network["factory"])) if network["factory"] else []


def contents_of_weights(network: Mapping[str, Any], seeds: Sequence[int], cache: str | Path) -> dict[int, str]:
    """Return the digest of each seed's file of weights (network.weights); empty if the network is trained.

    The path does not count. cache: see `digests_of_files`. Raises StudyError, with one line, if a file is missing.
    """
    if not network["weights"]:
        return {}
    paths = {seed: path_of_weights(network["weights"], seed) for seed in seeds}
    if missing := [path for path in paths.values() if not os.path.isfile(path)]:
        others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise StudyError(f"network.weights: there is no file {missing[0]}{others}")
    digests = _contents(dict.fromkeys(paths.values()), cache)
    return {seed: digests[path] for seed, path in paths.items()}


def require_weights_as_planned(path: str) -> None:
    """Raise StudyError if the content of a file of weights is not the one that the job names: it was replaced since."""
    if provenance.differs(f"{CONTENT_OF_WEIGHTS}{provenance.SEPARATOR}{_contents([path])[path]}"):
        raise StudyError(f"network.weights: {path} was replaced after this run had started; run the same command again")


def _contents(paths: Iterable[str], cache: str | Path | None = None) -> dict[str, str]:
    """Return the digest of each file of weights, by its path."""
    digests = digests_of_files(".", paths, cache, key="network.weights")
    return {path: digest[:16] for path, digest in digests.items()}
