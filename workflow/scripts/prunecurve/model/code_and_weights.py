"""What the results of a user's network depend on, known before any job runs: its code and weights. Imports no torch."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prunecurve.data.datasets.digests import digests_of_files
from prunecurve.errors import StudyError
from prunecurve.model.factory import DIGITS_OF_WEIGHTS, parsed_factory, path_of_weights
from prunecurve.model.factory_source import code_settings_of


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
    digests = digests_of_files(".", dict.fromkeys(paths.values()), cache, key="network.weights")
    return {seed: digests[path][:DIGITS_OF_WEIGHTS] for seed, path in paths.items()}
