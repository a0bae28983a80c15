"""The config of a frozen study, with the values given on the command line."""

from collections.abc import Mapping
from typing import Any

from prunecurve.config.check import check
from prunecurve.config.mappings import as_yaml, leaves, merged
from prunecurve.config.model import change_of
from prunecurve.data.datasets import asked_sizes
from prunecurve.errors import StudyError


def of_archive(frozen: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of an archive, with the values given on the command line (`asked`).

    frozen: the config in the manifest, also that of an older version. Raises StudyError, with one line per key, if the
    given values need results that the archive does not hold.
    """
    frozen = converted(frozen)
    try:
        held = check(frozen)
    except StudyError as error:
        raise StudyError(f"archive: in the manifest, {error}") from error
    wanted = check(merged(frozen, asked))
    wrong = []
    for (key, has), (_, wants) in zip(_values(held), _values(wanted)):
        # Criteria may be left out, but not the first: the archive has the maps' order and the shapes of the first only.
        fewer = key == "ranking.criteria" and set(wants) <= set(has) and wants[0] == has[0]
        if wants != has and not fewer and change_of(key) != "none":
            wrong.append(f"  {key}: asked for: {as_yaml(wants)}; the archive holds: {as_yaml(has)}")
    if wrong:
        raise StudyError(
            f"archive: {wanted['archive']} holds a different study:\n"
            + "\n".join(wrong)
            + "\nremove these keys, or run the study itself (without archive)"
        )
    return wanted


def _values(config: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return list(leaves(merged(config, {"images": asked_sizes(config)})))


def converted(frozen: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the config of a manifest with the keys of this version.

    Before, `images` had a mapping of sizes for each data set: `images: {mnist: {train: 6000, …}, digits: {…}}`.
    """
    images = frozen["images"]
    single = {key: value for key, value in images.items() if not isinstance(value, Mapping)}
    return {**frozen, "images": single | images.get(frozen["dataset"], {})}
