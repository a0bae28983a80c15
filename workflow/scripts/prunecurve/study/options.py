"""The options of each job's command that are no files: values of the config, and patterns of paths.

A script that reads very many files gets the pattern of their paths, because one command line cannot hold them all.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from prunecurve.data.datasets import asked_sizes
from prunecurve.naming import REVERSED
from prunecurve.ranking import criteria
from prunecurve.study.paths import ROWS
from prunecurve.study.study import Study, if_read
from prunecurve.sweep.k_batches import as_word
from prunecurve.training.parameters import Recipe


def flags(**values: Any) -> list[Any]:
    """Return `--name VALUE …` for each name; a list gives several values."""
    return [
        word
        for name, value in values.items()
        for word in [f"--{name.replace('_', '-')}", *(value if isinstance(value, list | tuple) else [value])]
    ]


@dataclass(frozen=True)
class Options:
    """The options of the jobs of a study. placed: adds to a path what rules add to theirs."""

    study: Study
    placed: Callable[[str], str] = str

    def pattern(self, path: str, **values: object) -> str:
        """Return a path with some placeholders filled in; a script that reads many files fills in the others."""
        for name, value in {"study": self.study.name, **values}.items():
            path = path.replace(f"{{{name}}}", str(value))
        return self.placed(path)

    def network(self, *, leaf_modules: bool = True) -> str:
        """Return what builds the network as JSON: the shape of the built-in network, or the function and its arguments.

        leaf_modules: whether the job analyses the network; training does not.
        """
        of_users = ("factory", "arguments", *(["leaf_modules"] if leaf_modules else []))
        keys = of_users if not self.study.built_in else ("channels", "kernel_size", "hidden", "dropout")
        return json.dumps({key: self.study.config["network"][key] for key in keys}, sort_keys=True)

    def pairs(self, seed: int) -> list[Any]:
        """Return the options of the job that draws images and makes inputs from them."""
        config, task = self.study.config, self.study.task
        words = [config["task"], *(f"{key}={value}" for name in task.KEYS for key, value in config[name].items())]
        position = flags(place=self.study.seeds.index(seed)) if config["images"]["disjoint"] else []
        sizes = json.dumps(asked_sizes(config))
        return [*flags(dataset=config["dataset"], sizes=sizes, task=words, seed=seed), *position]

    def training(self, seed: str) -> list[Any]:
        """Return the options of a training, except the recipe."""
        config, network = self.study.config, self.network(leaf_modules=False)
        options = {"preprocess": json.dumps(config["preprocess"], sort_keys=True), "network": network, "seed": seed}
        return flags(**options, task=config["task"], device=config["device"], threads=config["threads"])

    def retraining(self, seed: str, criterion: str, layer: str) -> list[Any]:
        """Return the options of a retraining, except its start, its epochs and its learning rates."""
        config = self.study.config
        recipe = json.dumps({key: config["training"][key] for key in Recipe.model_fields}, sort_keys=True)
        return [
            *self.torch(),
            *self.row(seed, criterion),
            *flags(layer=layer, device=config["device"], training=recipe),
        ]

    def torch(self) -> list[Any]:
        """Return the options of jobs that run a trained network."""
        config = self.study.config
        options = {"network": self.network(), "preprocess": json.dumps(config["preprocess"], sort_keys=True)}
        return flags(**options, batch_size=config["activations"]["batch_size"], threads=config["threads"])

    def repair(self) -> list[Any]:
        """Return the options of the job that measures what repairs are fitted to."""
        config = self.study.config
        options = {"device": config["device"], "stored_mb": config["sweep"]["stored_mb"]}
        return [*self.torch(), *flags(**options, repair=json.dumps(config["repair"], sort_keys=True))]

    def row(self, seed: str, criterion: str) -> list[Any]:
        """Return the options of jobs that write rows: the task, and what distinguishes the rows from others."""
        return flags(task=self.study.config["task"], dataset=self.study.dataset_name, seed=seed, criterion=criterion)

    def ranking(self, criterion: str, layer: str, seed: str) -> list[Any]:
        """Return the options of a ranking."""
        parameters = criteria.parameters(criterion.removeprefix(REVERSED))
        return [
            *if_read("labels", criterion, self.study.if_torch(layer, self.torch())),
            *flags(criterion=criterion, point=self.study.point(criterion), seed=seed),
            *flags(parameters=[f"{key}={self.study.config['ranking'][key]}" for key in parameters]),
            *flags(threads=self.study.ranking_threads(criterion)),
        ]

    def verification(self, seed: int, layer: str, target: str) -> list[Any]:
        """Return the options of the verification of one network."""
        study, config = self.study, self.study.config
        repaired = study.calibration(layer, *study.verified_variants(layer, target))
        checks = [
            f"{ranking}:{variant}:{as_word(name, ks)}"
            for ranking in study.verified_rankings(target)
            for variant in study.verified_variants(layer, target)
            for name, ks in study.verified_ks(seed, layer, ranking, variant).items()
        ]
        return [
            *self.torch(),
            *flags(task=config["task"], tolerance=config["verification"]["tolerance"]),
            *(flags(repair=json.dumps(config["repair"], sort_keys=True)) if repaired else []),
            *flags(verified_by=study.verified_by(layer), checks=checks),
        ]

    def k_words(self, layer: str) -> list[str]:
        """Return the evaluation jobs of a layer as values of the option `--ks`."""
        return [as_word(name, ks) for name, ks in self.study.k_batches(layer).items()]

    def curves(self, seeds: Iterable[int], rankings: Iterable[str], variants: Iterable[str]) -> list[Any]:
        """Return the options of scripts that read all rows of some rankings and removals with their repairs.

        If the task counts the inputs of each class, they also read the names of the classes and the test labels.
        """
        return flags(
            rows=self.pattern(ROWS, layer=self.study.layer),
            seeds=[*seeds],
            criteria=[*rankings],
            removals=[*variants],
            ks=self.k_words(self.study.layer),
            classes=[self.pattern(path) for path in self.study.class_files],
            task=self.study.config["task"],
        )

    def sensitivity(self) -> list[Any]:
        """Return the options of the script that compares the curves of several layers."""
        study, layers = self.study, self.study.sensitivity_layers
        return flags(
            rows=self.pattern(ROWS),
            criteria=study.sensitivity_rankings,
            removals=study.sensitivity_variants,
            layers=[f"{layer}:{study.channels(layer)}" for layer in layers],
            ks=[" ".join(self.k_words(layer)) for layer in layers],
        )

    def histories(self, folder: str, seeds: Iterable[int]) -> list[Any]:
        """Return the options of scripts that warn about networks that have learned nothing."""
        training = self.placed(self.study.history(folder))
        return flags(task=self.study.config["task"], training=training, seeds=[*seeds])
