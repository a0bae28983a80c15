"""The settings of each job: lines `KEY: VALUE` of the config that its outputs depend on, and that they carry.

Freezing an archive compares them with the config.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prunecurve.config.settings import settings, weights_settings
from prunecurve.naming import REVERSED
from prunecurve.ranking import criteria
from prunecurve.study.study import Study


@dataclass(eq=False)
class Settings:
    """The settings of the jobs of a study.

    code: the lines for the code of a user's network. weights: the digest of the file of weights of each seed.
    """

    study: Study
    code: Sequence[str] = ()
    weights: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Compute the lines of the config once, and again when the layers are known."""
        self._lines = functools.cache(lambda layers: settings(self.study.config, layers))

    def keys(self, *keys: str) -> list[str]:
        """Return the lines of these config keys or sections."""
        lines = self._lines(self.study.layers if {"layer", "sweep.ks", "recovery"} & set(keys) else None)
        return [lines[key] for key in lines if any(key == k or key.startswith(f"{k}.") for k in keys)]

    def network(self) -> list[str]:
        """Return the settings that a network is built with: of a user's network with the digest of its code."""
        others = ("network.weights", "network.leaf_modules")
        return [line for line in self.keys("network") if not line.startswith(others)] + [*self.code]

    def training(self, seed: int) -> list[str]:
        """Return the settings of a trained network, or of one whose weights come from a file."""
        lines = self.keys("preprocess", "network.weights", "training", "device", "threads")
        weights = weights_settings([self.weights[seed]]) if self.weights else []
        return [*lines, *self.network(), *weights]

    def ranking(self, criterion: str) -> list[str]:
        """Return the settings that a criterion's ranking depends on, except those of its inputs."""
        plain, reads = criterion.removeprefix(REVERSED), set(criteria.reads(criterion))
        keys = [f"ranking.{key}" for key in criteria.parameters(plain)]
        keys += ["ranking.split"] if reads & {"statistics", "maps"} else []
        keys += ["ranking.measure_at"] if criteria.point(plain, "chosen") == "chosen" else []
        return self.keys(*keys, *(["threads"] if "labels" in reads else []))

    def seeds(self, seeds: Sequence[int], *keys: str) -> list[str]:
        """Return the settings of a job that reads the results of several networks."""
        return [settings({**self.study.config, "seeds": seeds})["seeds"], *self.keys(*keys)]

    def rankings(self, criteria: Sequence[str], seeds: Sequence[int], *keys: str) -> list[str]:
        """Return the settings of a job that reads all rankings of several networks by these criteria."""
        return [*self.seeds(seeds, *keys), *(self.keys("ranking.random_draws") if "random" in criteria else [])]
