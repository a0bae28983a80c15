"""What the target `recovery` of a study consists of: values of K, trainings and their files."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from prunecurve.config.layers import recovery_ks
from prunecurve.errors import StudyError
from prunecurve.study.paths import FROM_SCRATCH, RETRAINED, TRIALS, UNPRUNED
from prunecurve.study.study import Study
from prunecurve.verification import PERTURBATION

# What is retrained: the smaller network as it is, and repaired. They are the repairs of the sweep.
STARTS = ("none", "refit_bias")
# Training a new network is a kind of start, too.
SCRATCH = "scratch"
# The control in the column criterion.
UNPRUNED_NAME = "unpruned"
# Learning rates are chosen on the first networks of a study, so that seeds that are added to three do not change them.
CHOSEN_ON = 3


def if_start(start: str, files: Any, *starts: str) -> Any:
    """Return files that these kinds of start need, an empty list for another one."""
    return files if start in starts else []


def retrained_layer(study: Study) -> str:
    """Return the layer whose channels are removed. Raises StudyError if Torch-Pruning cannot remove them."""
    if study.verified_by(study.layer) == PERTURBATION:
        raise StudyError(
            f"recovery: Torch-Pruning, which makes the networks to retrain, cannot follow {study.layer} in this "
            "network; choose a different layer (snakemake layers lists them)"
        )
    return study.layer


def retrained_ks(study: Study) -> list[int]:
    """Return the values of K, ascending."""
    return recovery_ks(study.config, retrained_layer(study), study.layers)


def trial_k(channels: int) -> int:
    """Return the K at which learning rates are chosen: three quarters of the channels, whatever recovery.ks are.

    A K that is added to recovery.ks does not change it, and so no result.
    """
    return 3 * channels // 4


def budgets(config: Mapping[str, Any]) -> list[float]:
    """Return the epochs of the retrainings, ascending; 0 is the network before."""
    return sorted({0, 0.25, 1, config["recovery"]["epochs"]})


def chosen_on(study: Study) -> list[int]:
    """Return the seeds of the networks on which learning rates are chosen."""
    return study.seeds[:CHOSEN_ON]


def trial_files(study: Study) -> list[str]:
    """Return the files that learning rates are chosen from."""
    names = {"study": study.name, "layer": retrained_layer(study)}
    return [TRIALS.format(**names, seed=seed, start=start) for start in (*STARTS, SCRATCH) for seed in chosen_on(study)]


def retrained_files(study: Study, seeds: Iterable[int]) -> list[str]:
    """Return the files of all networks of these seeds: retrained, from scratch, and the unpruned ones."""
    names, ks, files = {"study": study.name, "layer": retrained_layer(study)}, retrained_ks(study), list[str]()
    for seed in seeds:
        for ranking, start, k in itertools.product(study.rankings, STARTS, ks):
            files.append(RETRAINED.format(**names, seed=seed, criterion=ranking, start=start, k=k))
        files += [FROM_SCRATCH.format(**names, seed=seed, k=k) for k in ks]
        files.append(UNPRUNED.format(**names, seed=seed))
    return files
