"""What a study consists of: rankings, layers, values of K, files, tables and figures, and the options of its jobs.

All of it follows from the config and the layers of the network; nothing here knows Snakemake. The rules ask an object
of the class `Study`. Paths are patterns with the placeholders study, seed, layer, criterion, removal, ks and split.
"""

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from prunecurve import figures
from prunecurve.archive import archive
from prunecurve.config.contradictions import sensitivity_layers, wrong_layer
from prunecurve.config.layers import Layers, k_batches, pruned_layer
from prunecurve.config.settings import resolved, settings, weights_settings
from prunecurve.data import tasks
from prunecurve.data.datasets import MODULES
from prunecurve.data.splits import SPLITS
from prunecurve.errors import StudyError
from prunecurve.naming import BASELINES, REVERSED, criterion_of, orders
from prunecurve.ranking import criteria
from prunecurve.sweep.k_batches import as_word
from prunecurve.sweep.removal import REMOVALS
from prunecurve.tables import read_rows
from prunecurve.training.learned import kept_epoch, shortfall
from prunecurve.verification import PERTURBATION, SURGERY
from prunecurve.verification.checked_ks import checked_ks, drawn_ks

SEED = "results/{study}/seed{seed}"
INDEX, MODEL, HISTORY = f"{SEED}/images/index.npy", f"{SEED}/model.pt", f"{SEED}/training.csv"
LAYER = f"{SEED}/{{layer}}"
LAYER_FILE = f"{LAYER}/layer.npy"
CHANNELS, MEAN_MAPS = f"{LAYER}/activations/test/channels.csv", f"{LAYER}/activations/test/mean_maps.npy"
RANKING = f"{LAYER}/ranking/{{criterion}}.csv"
SUMS = f"{LAYER}/partial_sums/{{criterion}}.npy"
ROWS = f"{LAYER}/sweep/{{criterion}}/{{removal}}/k{{ks}}.csv"
# The evaluations on the validation inputs, from which a plan is chosen.
VALIDATION = f"{LAYER}/validation/{{criterion}}.csv"
PLAN_CHOICE, PLAN_EVALUATION = f"{SEED}/plan_choice.csv", f"{SEED}/plan_evaluation.csv"
CLASSES = "results/{study}/source/classes.csv"
LAYER_TABLE = "results/{study}/layers.csv"

# The kinds of files of a split: the images, the images of each input, the labels.
KINDS = ("images", "inputs", "labels")
NETWORK_FIGURES = figures.of("network")
# The table of each figure of a whole study. The figure's folder is named after it.
STUDY_FIGURES = {
    name: f"{folder}.csv" for folder in figures.folders() if folder != "network" for name in figures.of(folder)
}
# In a run, only the targets `sensitivity` and `plan` make these tables. An archive may contain them.
TABLES_OF_TARGETS = ("sensitivity.csv", "plan.csv")
# Tables that are computed from the curve, for an archive too: they then match the code that draws them.
FROM_CURVE = ("curve_mean.csv", "summary.csv", "comparisons.csv")
BUDGETS = ("macs", "params", "tolerance")
# The evaluation job of those K that only the verification needs, where torch evaluates.
ONLY_VERIFIED = "verified"
# Evaluation jobs of fewer K than this start from stored sums, one for every 32 channels.
STORED_FOR = 32


def split_files(split: str) -> list[str]:
    """Return the files of a split, in the order of KINDS."""
    return [f"{SEED}/{kind}/{split}.npy" for kind in KINDS]


def labels(split: str) -> str:
    """Return the labels of a split."""
    return f"{SEED}/labels/{split}.npy"


def features(split: str) -> str:
    """Return the maps of a split, as the layers that follow the pruned one read them."""
    return f"{LAYER}/activations/{split}/features.npy"


def mean_features(removals: Iterable[str]) -> str | list[str]:
    """Return the mean maps if one of the removals reads them, otherwise an empty list.

    They are of the validation inputs: a pruned network must contain nothing of the inputs that evaluate it.
    """
    needed = any(REMOVALS[removal].reads_means for removal in removals)
    return f"{LAYER}/activations/val/mean_features.npy" if needed else []


def if_read(kind: str, criterion: str, files: Any) -> Any:
    """Return files or options of this kind if a criterion reads it, otherwise an empty list."""
    return files if kind in criteria.reads(criterion) else []


class Frozen(NamedTuple):
    """An archive whose figures are drawn: its folder and its manifest."""

    folder: Path
    manifest: Mapping[str, Any]

    def file(self, name: str) -> str | None:
        """Return the path of a file of the study; None if the archive does not contain it."""
        return archive.held(self.folder, self.manifest, name)


@dataclass(eq=False)
class Study:
    """A study.

    config: complete, of `config.check`. find_layers: returns the layers of a user's network, which are known after a
    job; it may raise what it likes until then. frozen: the archive whose figures are drawn, if one is. code, weights:
    the settings for the code of a user's network, and the digest of the file of weights of each seed. place: adds to a
    path what rules add to theirs, for paths in options.
    """

    config: Mapping[str, Any]
    find_layers: Callable[[], Layers]
    frozen: Frozen | None = None
    code: Sequence[str] = ()
    weights: Mapping[int, str] = field(default_factory=dict)
    place: Callable[[str], str] = str

    def __post_init__(self) -> None:
        """Name the parts of the config that follow from one key each."""
        config, draws = self.config, self.config["ranking"]["random_draws"]
        # A run writes to results/{name}; the figures of an archive go to results/archive/NAME.
        self.name, self.partial = config["study"], f"{config['study']}/partial"
        self.drawn = f"archive/{self.frozen.folder.name}" if self.frozen else self.name
        self.seeds, self.dataset_name = config["seeds"], config["dataset_name"] or config["dataset"]
        self.criteria, self.removals = config["ranking"]["criteria"], config["sweep"]["removals"]
        # Names of the rankings: one per criterion, except several for `random`.
        self.orders = orders(self.criteria, draws)
        self.sensitivity_orders = orders(config["sensitivity"]["criteria"], draws)
        self.task = tasks.load(config["task"])
        self.budget = next(key for key in BUDGETS if config["plan"][key] is not None)
        # The layers of the built-in network follow from the config; None for a user's network.
        self.built_in = Layers.of(config)
        # The K of each evaluation job of a layer, by the job's name, which is part of the name of its file.
        self.k_batches = functools.cache(self._k_batches)
        self._settings = functools.cache(lambda layers: settings(config, layers))

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

    def channels(self, layer: str) -> int:
        """Return the number of channels of a layer. Raises StudyError if it cannot be pruned."""
        if layer not in self.layers.channels:
            raise StudyError(wrong_layer(layer, self.layers))
        return self.layers.channels[layer]

    def runs_torch(self, layer: str) -> bool:
        """Return whether the network behind a layer is evaluated in torch and not in numpy."""
        return bool(self.channels(layer)) and self.layers.backends[layer] == "torch"

    # ---- values of K

    def _k_batches(self, layer: str) -> Mapping[str, list[int]]:
        self.channels(layer)
        return k_batches(self.config, layer, self.layers)

    def ks(self, layer: str) -> list[int]:
        """Return all K that the study evaluates of a layer."""
        return [k for ks in self.k_batches(layer).values() for k in ks]

    def verified_ks(self, seed: int, layer: str, order: str) -> dict[str, list[int]]:
        """Return the K that the verification checks in a ranking of one network, by the evaluation job that has them.

        In numpy, a K that the study does not evaluate is a job of its own. In torch, one job evaluates all of them.
        """
        channels, count = self.channels(layer), self.config["verification"]["drawn_ks"]
        job_of = {k: name for name, ks in self.k_batches(layer).items() for k in ks}
        jobs: dict[str, list[int]] = {}
        for k in [*checked_ks(channels), *drawn_ks(channels, count, seed, layer, order)]:
            jobs.setdefault(job_of.get(k, ONLY_VERIFIED if self.runs_torch(layer) else str(k)), []).append(k)
        return jobs

    def ks_of_job(self, name: str, seed: int, layer: str, order: str) -> list[int]:
        """Return the K of the evaluation job of this name. Raises StudyError if the study has no such job."""
        ks = self.k_batches(layer).get(name) or self.verified_ks(seed, layer, order).get(name)
        if ks is None and not name.isdigit():
            raise StudyError(f"k{name}: the study has no evaluation job of {layer} with these values of K")
        return ks or [int(name)]

    # ---- rankings

    def point(self, criterion: str) -> str:
        """Return where a criterion measures. The same for all points if it does not measure at the chosen one."""
        return criteria.point(criterion.removeprefix(REVERSED), self.config["ranking"]["measure_at"])

    def ranking_threads(self, criterion: str) -> int:
        """Return the number of threads of a ranking."""
        return self.config["threads"] if "labels" in criteria.reads(criterion) else 1

    def parameters(self, criterion: str) -> list[str]:
        """Return the parameters of a criterion as KEY=NUMBER."""
        keys = criteria.parameters(criterion.removeprefix(REVERSED))
        return [f"{key}={self.config['ranking'][key]}" for key in keys]

    def modules(self, criterion: str, layer: str) -> list[str]:
        """Return the modules that a criterion of a layer is computed with and that are imported by name."""
        losses = f"ranking.{'torch' if self.runs_torch(layer) else 'numpy'}_losses"
        name = criterion_of(criterion.removeprefix(REVERSED))
        return [f"ranking.criteria.{name}", *if_read("labels", criterion, [losses])]

    # ---- evaluations and their verification

    def evaluated_split(self, split: str, layer: str) -> list[str]:
        """Return the files of a split that evaluations of a layer read: the labels, and in torch all.

        In torch, values that are too large to be stored are computed again from the images.
        """
        return split_files(split) if self.runs_torch(layer) else [labels(split)]

    def evaluated_model(self, layer: str) -> str | list[str]:
        """Return the network, if evaluations of a layer run it in torch; an empty list for numpy."""
        return MODEL if self.runs_torch(layer) else []

    def stored_sums(self, layer: str) -> str | list[str]:
        """Return the stored sums from which an evaluation of a layer starts; an empty list if a job evaluates many K.

        In torch, a job evaluates all K and there are no sums. In numpy, such a job computes the same sums itself, and
        its rows have the same bytes. In large studies the stored sums would be larger than all other results together.
        """
        return [] if self.config["sweep"]["ks_per_job"] >= STORED_FOR or self.runs_torch(layer) else SUMS

    def backend(self, layer: str) -> str:
        """Return the module that evaluates the network behind a layer."""
        return f"sweep.backends.{'torch' if self.runs_torch(layer) else 'numpy'}_backend"

    def rows(self, seeds: Iterable[int], orders: Iterable[str], removals: Iterable[str], layer: str) -> list[str]:
        """Return the files with all rows of these seeds, rankings and removals of a layer."""
        return [
            ROWS.format(study=self.name, layer=layer, seed=seed, criterion=order, removal=removal, ks=ks)
            for seed in seeds
            for order in orders
            for removal in removals
            for ks in self.k_batches(layer)
        ]

    def verified_orders(self, target: str) -> list[str]:
        """Return the rankings to verify: those of the study, or those of the target `sensitivity`."""
        most = self.config["verification"]["rankings"]
        return (self.sensitivity_orders if target else self.orders)[: None if most == "all" else most]

    def verified_removals(self, layer: str) -> list[str]:
        """Return the removals of the study, and the two kinds that the reference experiment does not distinguish."""
        both = ["structural"] if layer in self.layers.zero_weights else ["structural", "zero_weights"]
        return list(dict.fromkeys([*self.removals, *both]))

    def verified_rows(self, study: str, seed: str, layer: str, target: str) -> list[str]:
        """Return the files with all rows that the verification of one network reads."""
        known = {"study": study, "seed": seed, "layer": layer}
        return [
            ROWS.format(**known, criterion=order, removal=removal, ks=ks)
            for order in self.verified_orders(target)
            for removal in self.verified_removals(layer)
            for ks in self.verified_ks(int(seed), layer, order)
        ]

    # ---- options: sections of the config as JSON, words that several scripts share

    def json(self, section: str) -> str:
        """Return a section of the config as JSON."""
        return json.dumps(self.config[section], sort_keys=True)

    def network(self, *, leaf_modules: bool = True) -> str:
        """Return what builds the network as JSON: the shape of the built-in network, or the function and its arguments.

        leaf_modules: whether the job analyses the network; training does not.
        """
        of_users = ("factory", "arguments", *(["leaf_modules"] if leaf_modules else []))
        keys = of_users if not self.built_in else ("channels", "kernel_size", "hidden", "dropout")
        return json.dumps({key: self.config["network"][key] for key in keys}, sort_keys=True)

    def torch_options(self) -> list[str]:
        """Return the options of jobs that run a trained network."""
        words = ["--network", self.network(), "--preprocess", self.json("preprocess")]
        words += ["--batch-size", str(self.config["activations"]["batch_size"])]
        return [*words, "--threads", str(self.config["threads"])]

    def evaluation_options(self, layer: str) -> list[str]:
        """Return the options of evaluations of a layer; an empty list if they run no network."""
        return self.torch_options() if self.runs_torch(layer) else []

    def pattern(self, path: str, **known: object) -> str:
        """Return a path with some placeholders filled in; a script that reads many files fills in the others."""
        for name, value in {"study": self.name, **known}.items():
            path = path.replace(f"{{{name}}}", str(value))
        return self.place(path)

    def k_words(self, layer: str) -> list[str]:
        """Return the evaluation jobs of a layer as values of the option `--ks`."""
        return [as_word(name, ks) for name, ks in self.k_batches(layer).items()]

    def curve_options(self, seeds: Iterable[int], orders: Iterable[str], removals: Iterable[str]) -> list[str]:
        """Return the options of scripts that read all rows of some rankings and removals."""
        words = ["--rows", self.pattern(ROWS, layer=self.layer), "--seeds", *map(str, seeds), "--criteria", *orders]
        return [*words, "--removals", *removals, "--ks", *self.k_words(self.layer)]

    def network_options(self, folder: str, seeds: Iterable[int]) -> list[str]:
        """Return the options of scripts that warn about networks that have learned nothing."""
        words = ["--task", self.config["task"], "--training", self.place(self.history(folder))]
        return [*words, "--seeds", *map(str, seeds)]

    # ---- settings that outputs carry

    def settings(self, *keys: str) -> list[str]:
        """Return the lines `KEY: VALUE` of these config keys or sections, which a job's outputs depend on.

        They are stored in the outputs. Freezing an archive compares them with the config.
        """
        lines = self._settings(self.layers if {"layer", "sweep.ks"} & set(keys) else None)
        return [lines[key] for key in lines if any(key == k or key.startswith(f"{k}.") for k in keys)]

    def settings_of_network(self) -> list[str]:
        """Return the settings that a network is built with: of a user's network with the digest of its code."""
        others = ("network.weights", "network.leaf_modules")
        return [line for line in self.settings("network") if not line.startswith(others)] + [*self.code]

    def settings_of_training(self, seed: int) -> list[str]:
        """Return the settings of a trained network, or of one whose weights come from a file."""
        lines = self.settings("preprocess", "network.weights", "training", "device", "threads")
        weights = weights_settings([self.weights[seed]]) if self.weights else []
        return [*lines, *self.settings_of_network(), *weights]

    def settings_of_ranking(self, criterion: str) -> list[str]:
        """Return the settings that a criterion's ranking depends on, except those of its inputs."""
        plain, reads = criterion.removeprefix(REVERSED), set(criteria.reads(criterion))
        keys = [f"ranking.{key}" for key in criteria.parameters(plain)]
        keys += ["ranking.split"] if reads & {"statistics", "maps"} else []
        keys += ["ranking.measure_at"] if criteria.point(plain, "chosen") == "chosen" else []
        return self.settings(*keys, *(["threads"] if "labels" in reads else []))

    def settings_of_networks(self, seeds: Sequence[int], *keys: str) -> list[str]:
        """Return the settings of a job that reads the results of several networks."""
        return [settings({**self.config, "seeds": seeds})["seeds"], *self.settings(*keys)]

    def settings_of_rankings(self, seeds: Sequence[int], *keys: str) -> list[str]:
        """Return the settings of a job that reads all rankings of several networks."""
        ranked_by = self.config["sensitivity" if "sensitivity" in keys else "ranking"]["criteria"]
        draws = self.settings("ranking.random_draws") if "random" in ranked_by else []
        return [*self.settings_of_networks(seeds, *keys), *draws]

    # ---- tables and figures

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
        needed = self.task.CLASS_COUNTS and figure == "class_accuracy_vs_k"
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
        patterns = [
            *(file for split in SPLITS for file in split_files(split)),
            INDEX,
            MODEL,
            HISTORY,
            CHANNELS,
            MEAN_MAPS,
        ]
        patterns += [RANKING.replace("{criterion}", order) for order in self.orders]
        files = [pattern.format(study=self.name, seed=seed, layer=self.layer) for pattern in patterns]
        return [*files, *self.rows([seed], self.orders, self.removals, self.layer)]

    # ---- the archive, and a run

    def archived(self, exists: Callable[[str], bool]) -> list[str]:
        """Return the files of an archive as patterns relative to the study's folder.

        exists: returns whether the study has a table; those of the targets are archived if it has.
        """
        tables = {*STUDY_FIGURES.values(), "curve.csv", "summary.csv", "shape_table.csv"}
        # This table is large and is computed from the curve within a second.
        tables -= {"curve_mean.csv", *(name for name in TABLES_OF_TARGETS if not exists(name))}
        tables |= {"plan_layers.csv"} if "plan.csv" in tables else set()
        tables -= set() if self.has_comparisons(self.seeds) else {"comparisons.csv"}
        tables |= {"shared_images.csv"} if len(self.seeds) > 1 else set()
        tables |= {"class_recall.csv"} if self.task.CLASS_COUNTS else set()
        of_layer = ("ranking/{criterion}.csv", "verification.csv", "activations/test/channels.csv")
        files = [f"seed{{seed}}/{self.layer}/{name}" for name in (*of_layer, "activations/test/mean_maps.npy")]
        return [*sorted(tables), "seed{seed}/training.csv", *files]

    def frozen_config(self) -> dict[str, Any]:
        """Return the config that an archive stores: without run options and `data_dir`, valid on one machine."""
        config = {key: value for key, value in self.config.items() if key not in ("data_dir", "archive", "overwrite")}
        if not self.built_in:
            # An archive does not contain the table of the layers.
            known = resolved(self.config, self.layers)
            config |= {"layer": known["layer"], "sweep": {**config["sweep"], "ks": known["sweep.ks"]}}
        return config

    def code_of_results(self, scripts: Iterable[str]) -> list[tuple[str, ...]]:
        """Return the script and the modules of every digest of code that a frozen result may carry.

        scripts: the names of all scripts.
        """
        task, reader = f"data.tasks.{self.config['task']}", f"data.datasets.{MODULES[self.config['dataset']]}"
        codes: list[tuple[str, ...]] = [each for name in scripts for each in ((name,), (name, task))]
        codes += [("get_images", reader)]
        ranked_by = [*self.orders, *self.sensitivity_orders, self.config["plan"]["criterion"]]
        # The tables of the targets `sensitivity` and `plan` contain evaluations of other layers.
        for layer in dict.fromkeys([self.layer, *self.sensitivity_layers, *self.plan_layers]):
            codes += [(name, task, self.backend(layer)) for name in ("eval_pruned", "verify_surgery")]
            codes += [("rank_channels", *self.modules(order, layer)) for order in ranked_by]
        return list(dict.fromkeys(codes))

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
