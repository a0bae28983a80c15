"""What a study consists of: rankings, layers, values of K, files, tables and figures.

All of it follows from the config and the layers of the network.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prunecurve import figures
from prunecurve.config.layers import Layers, k_batches, pruned_layer, sensitivity_layers, wrong_layer
from prunecurve.data import tasks
from prunecurve.data.splits import SPLITS
from prunecurve.errors import StudyError
from prunecurve.naming import BASELINES, REVERSED, criterion_of, orders
from prunecurve.ranking import criteria
from prunecurve.study.frozen import Frozen
from prunecurve.study.paths import (
    CALIBRATION,
    CHANNELS,
    CLASSES,
    HISTORY,
    INDEX,
    MEAN_MAPS,
    MODEL,
    RANKING,
    ROWS,
    SUMS,
    activations,
    labels,
    split_files,
)
from prunecurve.sweep.k_batches import of_variant
from prunecurve.sweep.removal import REMOVALS, VARIANTS, parts_of, variant
from prunecurve.tables import read_rows
from prunecurve.training.learned import kept_epoch, shortfall
from prunecurve.verification import PERTURBATION, SURGERY
from prunecurve.verification.checked_ks import checked_ks

NETWORK_FIGURES = figures.of("network")
# The table of each figure of a whole study. The figure's folder is named after it.
STUDY_FIGURES = {name: f"{folder}.csv" for name, folder in figures.FOLDERS.items() if folder != "network"}
# In a run, only targets of their own make these tables. An archive may contain them.
TABLES_OF_TARGETS = ("sensitivity.csv", "plan.csv", "recovery.csv")
# Tables that are computed from the curve, for an archive too: they then match the code that draws them.
FROM_CURVE = ("curve_mean.csv", "summary.csv", "comparisons.csv")
BUDGETS = ("macs", "params", "tolerance")
# The evaluation job of those K that only the verification needs, where torch evaluates.
ONLY_VERIFIED = "verified"
# Evaluation jobs of fewer K than this start from stored sums, one for every 32 channels.
FEWEST_WITHOUT_SUMS = 32


def mean_features(*removals: str) -> str | list[str]:
    """Return the mean features if one of the removals reads them, otherwise an empty list.

    They are of the validation inputs: a pruned network must contain nothing of the inputs that evaluate it.
    """
    needed = any(REMOVALS[removal].reads_means for removal in removals)
    return activations("val", "mean_features.npy") if needed else []


def if_read(kind: str, criterion: str, files: Any) -> Any:
    """Return files or options of this kind if a criterion reads it, otherwise an empty list."""
    return files if kind in criteria.reads(criterion) else []


@dataclass(eq=False)
class Study:
    """A study.

    config: complete, of `config.check`. find_layers: returns the layers of a user's network, which are known after a
    job; it may raise what it likes until then. frozen: the archive whose figures are drawn, if one is.
    """

    config: Mapping[str, Any]
    find_layers: Callable[[], Layers]
    frozen: Frozen | None = None

    def __post_init__(self) -> None:
        """Name the parts of the config that follow from one key each."""
        config, draws = self.config, self.config["ranking"]["random_draws"]
        # A run writes to results/{name}; the figures of an archive go to results/archive/NAME.
        self.name, self.partial = config["study"], f"{config['study']}/partial"
        self.drawn = f"archive/{self.frozen.folder.name}" if self.frozen else self.name
        self.seeds, self.dataset_name = config["seeds"], config["dataset_name"] or config["dataset"]
        self.criteria, self.removals = config["ranking"]["criteria"], config["sweep"]["removals"]
        # The removals, each with its repairs.
        repairs = {"structural": config["sweep"]["repairs"]}
        self.variants = [variant(name, repair) for name in self.removals for repair in repairs.get(name, ["none"])]
        # Names of the rankings: one per criterion, except several for `random`.
        self.rankings = orders(self.criteria, draws)
        self.sensitivity_rankings = orders(config["sensitivity"]["criteria"], draws)
        self.task, self.metrics = tasks.inputs_of(config["task"]), tasks.metrics_of(config["task"])
        # The budgets of the target `plan`, by key and value, and the removal with its repair that its curves have.
        self.budgets = [f"{key}-{value}" for key in BUDGETS for value in config["plan"][key]]
        self.plan_variant = variant("structural", config["plan"]["repair"])
        self.sensitivity_variants = [variant("structural", repair) for repair in config["sensitivity"]["repairs"]]
        # The layers of the built-in network follow from the config; None for a user's network.
        self.built_in = Layers.of(config)
        # The K of each evaluation job of a layer, by the job's name, which is part of the name of its file.
        self.k_batches = functools.cache(self._k_batches)

    # ---- layers

    @property
    def layers(self) -> Layers:
        """The layers of the network."""
        return self.built_in or self.find_layers()

    @property
    def layer(self) -> str:
        """The layer whose channels the study removes."""
        # An archive does not contain the table of the layers.
        return self.config["layer"] if self.frozen and not self.built_in else pruned_layer(self.config, self.layers)

    @property
    def sensitivity_layers(self) -> list[str]:
        """The layers of the target `sensitivity`. Raises StudyError if a criterion cannot rank one of them."""
        return sensitivity_layers(self.config, self.layers)

    @property
    def plan_layers(self) -> list[str]:
        """The layers of the target `plan`: the first convolution of each group that Torch-Pruning can cut."""
        cut = [name for name in self.layers.convolutions if self.verified_by(name) != PERTURBATION]
        if not cut:
            raise StudyError(
                "plan: Torch-Pruning, which makes the smaller networks, cannot follow any convolution of this network"
            )
        return cut

    def verified_by(self, layer: str) -> str:
        """Return the method that verifies the removals from a layer."""
        return self.layers.verified_by.get(layer, SURGERY)

    def require_layer(self, layer: str) -> None:
        """Raise StudyError if a layer cannot be pruned."""
        if layer not in self.layers.channels:
            raise StudyError(wrong_layer(layer, self.layers))

    def channels(self, layer: str) -> int:
        """Return the number of channels of a layer. Raises StudyError if it cannot be pruned."""
        self.require_layer(layer)
        return self.layers.channels[layer]

    def runs_torch(self, layer: str) -> bool:
        """Return whether the network behind a layer is evaluated in torch and not in numpy."""
        self.require_layer(layer)
        return self.layers.backends[layer] == "torch"

    # ---- values of K

    def _k_batches(self, layer: str) -> Mapping[str, list[int]]:
        self.require_layer(layer)
        return k_batches(self.config, layer, self.layers)

    def ks_patterns(self) -> list[str]:
        """Return regular expressions for the names of all evaluation jobs: `7`, `0-15`, `verified`."""
        # As long as the layers are not known, any range.
        if not self.built_in:
            return [r"\d+", ONLY_VERIFIED, r"\d+-\d+"]
        batches = [of_variant(self.k_batches(layer), v) for layer in self.built_in.channels for v in VARIANTS]
        return list(dict.fromkeys([r"\d+", ONLY_VERIFIED, *(name for each in batches for name in each)]))

    def ks(self, layer: str) -> list[int]:
        """Return all K that the study evaluates of a layer."""
        return [k for ks in self.k_batches(layer).values() for k in ks]

    def verified_ks(self, seed: int, layer: str, ranking: str, variant: str) -> dict[str, list[int]]:
        """Return the K that the verification checks in a ranking of one network, by the evaluation job that has them.

        In numpy, a K that the study does not evaluate is a job of its own. In torch, and of repaired networks, one job
        evaluates all of them.
        """
        channels, count = self.channels(layer), self.config["verification"]["drawn_ks"]
        job_of = {k: name for name, ks in of_variant(self.k_batches(layer), variant).items() for k in ks}
        together = self.runs_torch(layer) or parts_of(variant)[1] != "none"
        jobs: dict[str, list[int]] = {}
        for k in checked_ks(channels, count, seed, layer, ranking):
            jobs.setdefault(job_of.get(k, ONLY_VERIFIED if together else str(k)), []).append(k)
        return jobs

    def ks_of_job(self, name: str, seed: int, layer: str, ranking: str, variant: str) -> list[int]:
        """Return the K of the evaluation job of this name. Raises StudyError if the study has no such job."""
        batches = of_variant(self.k_batches(layer), variant)
        ks = batches.get(name) or self.verified_ks(seed, layer, ranking, variant).get(name)
        if ks is None and not name.isdigit():
            raise StudyError(f"k{name}: the study has no evaluation job of {layer} with these values of K")
        return [*ks] if ks else [int(name)]

    # ---- rankings

    def point(self, criterion: str) -> str:
        """Return where a criterion measures. The same for all points if it does not measure at the chosen one."""
        return criteria.point(criterion.removeprefix(REVERSED), self.config["ranking"]["measure_at"])

    def ranking_threads(self, criterion: str) -> int:
        """Return the number of threads of a ranking."""
        return self.config["threads"] if "labels" in criteria.reads(criterion) else 1

    def modules(self, criterion: str, layer: str) -> list[str]:
        """Return the modules that a criterion of a layer is computed with and that are imported by name."""
        losses = f"ranking.{'torch' if self.runs_torch(layer) else 'numpy'}_losses"
        name = criterion_of(criterion.removeprefix(REVERSED))
        by_name = [*if_read("labels", criterion, [losses]), *if_read("readers", criterion, ["sweep.repair"])]
        return [f"ranking.criteria.{name}", *by_name]

    # ---- evaluations and their verification

    def if_torch(self, layer: str, value: Any) -> Any:
        """Return files or options that evaluations of a layer need in torch; an empty list if numpy evaluates it."""
        return value if self.runs_torch(layer) else []

    def partial_sums(self, layer: str, variant: str) -> str | list[str]:
        """Return the stored sums from which an evaluation of a layer starts; an empty list if a job evaluates many K.

        In torch, a job evaluates all K and there are no sums. In numpy, such a job computes the same sums itself, and
        its rows have the same bytes. In large studies the stored sums would be larger than all other results together.
        """
        few = self.config["sweep"]["ks_per_job"] < FEWEST_WITHOUT_SUMS and parts_of(variant)[1] == "none"
        return SUMS if few and not self.runs_torch(layer) else []

    def calibration(self, layer: str, *variants: str, images: bool = False) -> list[str]:
        """Return the files that repairs are fitted to; an empty list without a repair.

        images: whether the images are needed in any case. Evaluations in torch always need them.
        """
        if all(parts_of(variant)[1] == "none" for variant in variants):
            return []
        files = [f"{CALIBRATION}/{name}.npy" for name in ("moments", "features", "labels", "shares")]
        of_images = [split_files("train")[0], f"{CALIBRATION}/inputs.npy"]
        return [*files, *(of_images if images or self.runs_torch(layer) else [])]

    def modules_of_evaluation(self, layer: str, *variants: str) -> list[str]:
        """Return the modules that evaluations are computed with and that are imported by name."""
        repaired = any(parts_of(variant)[1] != "none" for variant in variants)
        metrics = f"data.tasks.{self.config['task']}.metrics"
        return [metrics, self.backend(layer), *(["sweep.repair"] if repaired else [])]

    def backend(self, layer: str) -> str:
        """Return the module that evaluates the network behind a layer."""
        return f"sweep.backends.{'torch' if self.runs_torch(layer) else 'numpy'}_backend"

    def rows(self, seeds: Iterable[int], rankings: Iterable[str], variants: Iterable[str], layer: str) -> list[str]:
        """Return the files with all rows of these seeds, rankings and removals with their repairs, of a layer."""
        return [
            ROWS.format(study=self.name, layer=layer, seed=seed, criterion=ranking, removal=variant, ks=ks)
            for seed in seeds
            for ranking in rankings
            for variant in variants
            for ks in of_variant(self.k_batches(layer), variant)
        ]

    def sensitivity_rows(self, seeds: Sequence[int]) -> list[str]:
        """Return the files with all rows that the target `sensitivity` compares."""
        rankings, variants = self.sensitivity_rankings, self.sensitivity_variants
        return [row for layer in self.sensitivity_layers for row in self.rows(seeds, rankings, variants, layer)]

    def verified_rankings(self, target: str) -> list[str]:
        """Return the rankings to verify: those of the study, or those of the target `sensitivity`."""
        most = self.config["verification"]["rankings"]
        return (self.sensitivity_rankings if target else self.rankings)[: None if most == "all" else most]

    def verified_variants(self, layer: str, target: str = "") -> list[str]:
        """Return the removals with their repairs: those of the study, or of the target `sensitivity`, and the two of
        the reference experiment.
        """
        both = ["structural"] if layer in self.layers.zero_weights else ["structural", "zero_weights"]
        return list(dict.fromkeys([*(self.sensitivity_variants if target else self.variants), *both]))

    def verified_rows(self, study: str, seed: str, layer: str, target: str) -> list[str]:
        """Return the files with all rows that the verification of one network reads."""
        known = {"study": study, "seed": seed, "layer": layer}
        return [
            ROWS.format(**known, criterion=ranking, removal=variant, ks=ks)
            for ranking in self.verified_rankings(target)
            for variant in self.verified_variants(layer, target)
            for ks in self.verified_ks(int(seed), layer, ranking, variant)
        ]

    # ---- tables and figures

    @property
    def class_files(self) -> list[str]:
        """The names of the classes and the test labels, for scripts that turn counts of classes into recalls."""
        return [CLASSES, labels("test")] if self.metrics.CLASS_COUNTS else []

    def has_comparisons(self, seeds: Sequence[int]) -> bool:
        """Return whether comparisons are possible: at least two networks and two criteria, one of them a baseline."""
        return len(seeds) > 1 and len(self.criteria) > 1 and bool(set(BASELINES) & set(self.criteria))

    def table(self, folder: str, name: str) -> str:
        """Return a table or array that figures are drawn from. Raises StudyError if the archive does not contain it."""
        if not self.frozen or folder != self.drawn or name in FROM_CURVE:
            return f"results/{folder}/{name}"
        if path := self.frozen.file(name):
            return path
        raise StudyError(f"archive: {self.frozen.folder} does not contain {name}")

    def history(self, folder: str) -> str:
        """Return the pattern of the training histories of a folder, with the placeholder seed."""
        frozen = self.frozen if folder == self.drawn else None
        return f"{frozen.folder if frozen else f'results/{self.name}'}/seed{{seed}}/training.csv"

    def shared_images(self, folder: str, seeds: Sequence[int]) -> str | list[str]:
        """Return the table of images that networks share; an empty list for one network, or if the archive lacks it."""
        if self.frozen and folder == self.drawn:
            return self.frozen.file("shared_images.csv") or []
        return f"results/{folder}/shared_images.csv" if len(seeds) > 1 else []

    def class_recalls(self, folder: str, figure: str) -> str | list[str]:
        """Return the table that a figure of all classes needs besides its own, if the task has this table."""
        needed = self.metrics.CLASS_COUNTS and figure == "class_accuracy_vs_k"
        return self.table(folder, "class_recall.csv") if needed else []

    def study_figures(self, seeds: Sequence[int]) -> list[str]:
        """Return the names of the figures that show these networks of the study together."""
        without = set() if self.has_comparisons(seeds) else {"comparisons.csv"}
        without |= {name for name in TABLES_OF_TARGETS if not (self.frozen and self.frozen.file(name))}
        return [name for name, table in STUDY_FIGURES.items() if table not in without]

    def figure_criteria(self, figure: str) -> list[str]:
        """Return the criteria that a figure shows: all, but figures of channels and of targets choose none."""
        return [] if STUDY_FIGURES[figure] in ("channels.csv", *TABLES_OF_TARGETS) else self.criteria

    def seeds_of_maps(self) -> list[int]:
        """Return the networks whose mean feature maps are drawn."""
        count = self.config["figures"]["maps_seeds"]
        return self.seeds if count == "all" else self.seeds[:count]

    def files_of_network(self, seed: int) -> list[str]:
        """Return the files of one network that the tables and figures of the study are made from."""
        patterns = [file for split in SPLITS for file in split_files(split)]
        patterns += [INDEX, MODEL, HISTORY, CHANNELS, MEAN_MAPS]
        patterns += [RANKING.replace("{criterion}", order) for order in self.rankings]
        files = [pattern.format(study=self.name, seed=seed, layer=self.layer) for pattern in patterns]
        return [*files, *self.rows([seed], self.rankings, self.variants, self.layer)]

    def finished_seeds(self, exists: Callable[[str], bool]) -> list[int]:
        """Return the seeds all of whose files exist."""
        return [seed for seed in self.seeds if all(map(exists, self.files_of_network(seed)))]

    # ---- messages of a run

    def below_requirement(self, histories: Iterable[str]) -> list[str]:
        """Return a line for each history that does not reach `training.require`, without missing and damaged ones."""
        lines, require = [], self.config["training"]["require"]
        for path in histories:
            try:
                lacks = shortfall(kept_epoch(read_rows(path, sealed=None)), require, self.task.INPUTS)
                lines += [f"{path}: {lacks}"] if lacks else []
            except (StudyError, StopIteration):
                continue
        return lines

    def in_words(self) -> str:
        """Return the study in a line: a command without its config file would run another one."""
        config, name = self.config, self.dataset_name
        dataset = name if name == config["dataset"] else f"{name} ({config['dataset']})"
        network, count = config["network"]["factory"] or "built-in network", len(self.seeds)
        networks = f"{count} networks" if count > 1 else "one network"
        return f"study {self.name}: {dataset}, {config['task']}, {network}, layer {config['layer']}, {networks}"
