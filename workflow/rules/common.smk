# Shared by all rules: the checked config, the code that a script runs, command-line options from config sections.

import functools
import json
import os
import re
import shlex
import sys
from contextlib import suppress
from pathlib import Path

from snakemake.io import get_flag_value
from snakemake.logging import logger
from snakemake.path_modifier import PATH_MODIFIER_FLAG

# Relative to the working folder, so that a moved study does not run again.
WORKFLOW = Path(os.path.relpath(Path(workflow.current_basedir).parent))
PROJECT = WORKFLOW.resolve().parent
SCRIPTS = WORKFLOW / "scripts"
sys.path.insert(0, str(SCRIPTS.resolve()))

# Jobs use the Python that runs Snakemake, even if its environment is not activated.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
# A script finds the package because Python adds the script's folder to its path; this variable forbids it.
os.environ.pop("PYTHONSAFEPATH", None)
# An empty entry (PYTHONPATH=$PYTHONPATH:FOLDER) is the working folder, whose files then replace modules of Python.
if entries := os.environ.get("PYTHONPATH"):
    os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, entries.split(os.pathsep))))

from prunecurve.study import archive
from prunecurve.ranking import criteria
from prunecurve import figures
from prunecurve.verification.checked_ks import checked_ks, drawn_ks
from prunecurve.config import (
    backend,
    check,
    convolutions,
    data_settings,
    k_batches,
    layers,
    of_archive,
    original_text,
    pruned_layer,
    replaced,
    settings,
)
from prunecurve.data.datasets import DATASETS, MODULES
from prunecurve.errors import StudyError
from prunecurve.files import read_rows, read_settings
from prunecurve.network.learned import kept_epoch, shortfall
from prunecurve.machine import gpus, machine
from prunecurve.naming import BASELINES, REVERSED, criterion_of, orders
from prunecurve.data import tasks
from prunecurve.data.planning import asked_sizes, check_data
from prunecurve.data.splits import SPLITS
from prunecurve.progress import Follower
from prunecurve.sweep.removal import REMOVALS as REMOVAL_NAMES
from prunecurve.source import code_setting

# In a `module:` with a prefix, Snakemake changes the paths of inputs, outputs and logs, but not those in parameters.
PATHS = workflow.modifier.path_modifier


def placed(path):
    """Return the path with the prefix of the module, if this workflow is used as a module."""
    return str(path if get_flag_value(path, PATH_MODIFIER_FLAG) else PATHS.replace_prefix(path))


# A study's folder in commands. Not a parameter, so that studies of different names can share results through the cache.
WRITTEN = shlex.quote(placed("results/{wildcards.study}"))


def archive_folder(name):
    """Return the folder of an archive: in the working folder or, if it has none of this name, in the project."""
    path = f"archive/{name}"
    # Absolute paths get no prefix.
    own = path if placed(path) == path else os.path.abspath(placed(path))
    return PROJECT / path if not os.path.isdir(own) and os.path.isdir(PROJECT / path) else Path(own)


def as_written(config, files):
    """Return the config with the text that the user wrote on the command line or in the config files."""
    given = workflow.config_settings
    return original_text(config, given.config_args or [], given.config, [*files, *given.configfiles])


def content_of_data(needed):
    """Return the fingerprint of the data set, and check it against the config.

    needed: False for an archive without the key data_dir. Its figures are drawn without the data set.
    """
    try:
        # Jobs in processes of their own were planned with data that were checked.
        if needed and workflow.is_main_process:
            check_data(config, DATA_DIR)
        return DATASETS[config["dataset"]].fingerprint(DATA_DIR, ".snakemake/prunecurve/images.json")
    except StudyError:
        if needed:
            raise
        return ""


try:
    config = check(as_written(config, workflow.configfiles))
    # The folder of the frozen study whose figures are drawn, or None.
    ARCHIVE = archive_folder(config["archive"]) if config["archive"] else None
    if ARCHIVE:
        MANIFEST = archive.checked(ARCHIVE)
        asked = as_written(workflow.config_settings.overwrite_config, [])
        config = of_archive(MANIFEST["config"], asked)
    DATA_DIR = os.path.expanduser(config["data_dir"])
    DATA_CONTENT = content_of_data(needed=not ARCHIVE or "data_dir" in workflow.config_settings.overwrite_config)
except StudyError as error:
    raise WorkflowError(str(error)) from None

DATASET, SEEDS = config["dataset"], config["seeds"]
# A run writes to results/{STUDY}; the figures of an archive go to results/archive/NAME.
STUDY = config["study"]
DRAWN = f"archive/{ARCHIVE.name}" if ARCHIVE else STUDY
CRITERIA = config["ranking"]["criteria"]
# Names of the rankings: one per criterion, except several for `random`.
ORDERS = orders(CRITERIA, config["ranking"]["random_draws"])
SENSITIVITY_ORDERS = orders(config["sensitivity"]["criteria"], config["ranking"]["random_draws"])
SPLIT, POINT = config["ranking"]["split"], config["ranking"]["measure_at"]
REMOVALS = config["sweep"]["removals"]
# The layers that can be pruned, their numbers of channels, and how the network behind each of them is evaluated.
LAYERS = layers(config)
LAYER = pruned_layer(config)
BACKENDS = {layer: backend(config, layer) for layer in LAYERS}
# The layers of the target `sensitivity`.
CONVOLUTIONS = convolutions(config)
# The evaluation jobs of each layer: the values of K by the name of the job. The name is part of the file name.
K_BATCHES = {layer: k_batches(config, layer) for layer in LAYERS}
# Evaluation jobs of fewer K than this start from stored sums, one for every 32 channels.
STORED_FOR = 32

# If the environment names a cache folder, checkouts share all slow steps (--cache), but not tables and figures.
CACHED = bool(os.environ.get("SNAKEMAKE_OUTPUT_CACHE"))

# The removals of the study, and always the two kinds that the reference experiment does not distinguish.
VERIFIED_REMOVALS = list(dict.fromkeys([*REMOVALS, "structural", "zero_weights"]))

# GPUs that a job requests. On a cluster, `auto` requests none: it uses a GPU if there is one, without waiting for it.
# On one machine, jobs that use the GPU run one at a time, because several could exceed its memory. `--resources gpu=2`
# allows two.
GPUS = 1 if config["device"] == "cuda" or (config["device"] == "auto" and workflow.local_exec and gpus()) else 0
if workflow.local_exec:
    workflow.global_resources.setdefault("gpu", 1)

# The same config trains other networks on another kind of machine, so the cache must not mix them. The key of all later
# steps contains that of the training. On a cluster, all nodes are assumed to be of one kind.
MACHINE = machine(config["device"])

NETWORK_FIGURES = figures.of("of_network")
# Figures are grouped in folders that are named after the table that they show.
STUDY_FIGURES = {
    name: f"{folder.removeprefix('of_')}.csv"
    for folder in figures.folders()
    for name in figures.of(folder)
    if folder != "of_network"
}


def script(name):
    """Return the path of a rule's script."""
    return str(SCRIPTS / f"{name}.py")


def code(name, *plugins):
    """Return a line with the digest of a script, its modules and the versions of the libraries that it imports.

    Snakemake does not track them. The digest is a parameter of the job, so an edit or another version triggers a re-run.
    The modules are not input files, because each input file costs time in each of the thousands of jobs of a sweep.
    """
    return code_setting(script(name), *plugins)


# The module of the task, and its name for the parameter `code`.
TASK = tasks.load(config["task"])
OF_TASK = f"data.tasks.{config['task']}"
# The metrics of a task do not change its inputs, and an edit to them must not train the networks again.
INPUTS_OF_TASK = f"{OF_TASK}:require,inputs"
# The module that reads the data set.
READER = f"data.datasets.{MODULES[DATASET]}"
SETTINGS = settings(config)


def made_with(*keys):
    """Return the lines `KEY: VALUE` of these config keys or sections, which a rule's outputs depend on.

    They are stored in the outputs. Freezing an archive compares them with the config.
    """
    # A network that reaches the requirement is the same with any other.
    carried = (key for key in SETTINGS if key != "training.require")
    return [SETTINGS[key] for key in carried if any(key == k or key.startswith(f"{k}.") for k in keys)]


def made_from_seeds(study):
    """Return the setting that lists the seeds (networks) in a study's folder."""
    return [settings(config | {"seeds": seeds_of(study)})["seeds"]]


def rankings_made_with(criteria):
    """Return the settings of a job that reads all rankings of these criteria."""
    return made_with("ranking.random_draws") if "random" in criteria else []


# The first request is about four times the peak memory measured with the reference experiment's network: 0.5 GB for jobs
# with torch, 0.2 GB for figures, 0.13 GB for all others.
def grown(first):
    """Return a function for the memory (MB) or time (minutes) of a cluster job; each retry requests more."""
    return lambda wildcards, attempt: first * attempt


def options(settings):
    """Return a section of the config as options of a script: `{epochs: 6}` gives `--epochs 6`."""
    words = []
    for key, value in settings.items():
        words.append(f"--{key.replace('_', '-')}")
        words.extend(str(v) for v in (value if isinstance(value, list) else [value]))
    return words


def template(path, **known):
    """Return a path with the given wildcards filled in. The script fills in the others, as it reads thousands of files."""
    path = placed(path)
    for name, value in {"study": STUDY, **known}.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def ranking_made_with(criterion):
    """Return the settings that a criterion's ranking depends on, except those of its inputs."""
    reads = set(criteria.reads(criterion))
    keys = [f"ranking.{key}" for key in criteria.parameters(criterion)]
    keys += ["ranking.split"] if reads & {"statistics", "maps"} else []
    keys += ["ranking.measure_at"] if criteria.point(criterion, "chosen") == "chosen" else []
    keys += ["threads"] if "labels" in reads else []
    return made_with(*keys)


SEED = "results/{study}/seed{seed}"
IN_LAYER = f"{SEED}/{{layer}}"
LAYER_FILE = f"{IN_LAYER}/layer.npy"
FEATURES = f"{IN_LAYER}/activations/test/features.npy"
RANKING = f"{IN_LAYER}/ranking/{{criterion}}.csv"
ROWS = f"{IN_LAYER}/sweep/{{criterion}}/{{removal}}/k{{ks}}.csv"


def mean_features(removals):
    """Return the input file with mean maps if `removals` contains mean_replacement, otherwise an empty list.

    The means are of the validation pairs: a pruned network must not contain anything of the pairs that evaluate it.
    """
    return f"{IN_LAYER}/activations/val/mean_features.npy" if "mean_replacement" in removals else []


def backends(layer):
    """Return the module that evaluates the network behind a layer, by its dotted name, in a list."""
    return [f"sweep.backends.{BACKENDS[layer]}_backend"]


def modules_of(criterion, layer):
    """Return the modules that a criterion of a layer is computed with and that are imported by name."""
    losses = [f"ranking.{BACKENDS[layer]}_losses"] if "labels" in criteria.reads(criterion) else []
    return [f"ranking.criteria.{criterion_of(criterion)}", *losses]


def model_of(layer):
    """Return the network, if evaluations of a layer need it, otherwise an empty list: numpy's weights are in layer.npy."""
    return f"{SEED}/model.pt" if BACKENDS[layer] == "torch" else []


def threads_of(layer):
    """Return the number of threads of an evaluation; in numpy always one."""
    return config["threads"] if BACKENDS[layer] == "torch" else 1


def stored_sums(wildcards):
    """Return the stored sums of a ranking, from which an evaluation starts; an empty list if a job evaluates many K.

    In torch, a job evaluates all K and there are no sums. In numpy, such a job computes the same sums itself, and its rows
    have the same bytes. In large studies the stored sums would be
    larger than all other results together.
    """
    if BACKENDS[wildcards.layer] == "torch" or config["sweep"]["ks_per_job"] >= STORED_FOR:
        return []
    return f"{IN_LAYER}/partial_sums/{wildcards.criterion}.npy"


def read_by(criterion, what, path):
    """Return the path if the criterion reads this kind of input, otherwise an empty list."""
    return path if what in criteria.reads(criterion) else []


def parameters(criterion):
    """Return the criterion's parameters in the config as KEY=NUMBER."""
    return [f"{key}={config['ranking'][key]}" for key in criteria.parameters(criterion)]


def ks_of(layer, name):
    """Return the values of K of an evaluation job. A K that is not in the study is evaluated only for the verification."""
    return K_BATCHES[layer].get(name) or [int(name)]


def verified_orders(target):
    """Return the rankings to verify: those of the study, or those of the target `sensitivity`."""
    most = config["verification"]["rankings"]
    return (SENSITIVITY_ORDERS if target else ORDERS)[: None if most == "all" else most]


def verified_k_batches(seed, layer, order):
    """Return the evaluation job of each K that the verification checks in a ranking of one network, by K."""
    job_of = {k: name for name, several in K_BATCHES[layer].items() for k in several}
    channels, count = LAYERS[layer], config["verification"]["drawn_ks"]
    ks = [*checked_ks(channels), *drawn_ks(channels, count, int(seed), layer, order)]
    return {k: job_of.get(k, str(k)) for k in ks}


def verified_rows(wildcards):
    """Return the files with all rows that the verification of one network checks."""
    return [
        row
        for order in verified_orders(wildcards.target)
        for row in expand(
            ROWS,
            study=wildcards.study,
            seed=wildcards.seed,
            layer=wildcards.layer,
            criterion=order,
            removal=VERIFIED_REMOVALS,
            ks=sorted(set(verified_k_batches(wildcards.seed, wildcards.layer, order).values())),
        )
    ]


def verified_words(wildcards, part):
    """Return one word per verified ranking: its checked K (part 0) or their evaluation jobs (part 1), with commas."""
    orders = verified_orders(wildcards.target)
    checks = [verified_k_batches(wildcards.seed, wildcards.layer, order).items() for order in orders]
    return [",".join(str(item[part]) for item in items) for items in checks]


def rows(seeds, orders, removals, layer):
    """Return the files with all rows of these seeds, rankings and removals."""
    return expand(ROWS, seed=seeds, layer=layer, criterion=orders, removal=removals, ks=K_BATCHES[layer], study=STUDY)


@functools.cache
def seeds_of(study):
    """Return the seeds in a study's folder: all, or in its folder `partial` those whose evaluations are finished."""
    if study != f"{STUDY}/partial":
        return SEEDS
    done = [seed for seed in SEEDS if all(os.path.exists(placed(p)) for p in inputs_of_tables(seed))]
    missing = [str(seed) for seed in SEEDS if seed not in done]
    if not done:
        raise WorkflowError("partial: no seed of the study has finished all its evaluations yet")
    logger.warning(f"partial: includes seeds {', '.join(map(str, done))}; missing: {', '.join(missing) or 'none'}")
    return done


def inputs_of_tables(seed):
    """Return the files of one seed that tables and figures depend on, directly or indirectly."""
    known = {"study": STUDY, "seed": seed, "layer": LAYER}
    sources = [
        *rules.make_pairs.output,
        *rules.train.output,
        *expand(rules.collect_activations.output, split="test", **known),
    ]
    return expand(sources, **known) + expand(RANKING, criterion=ORDERS, **known) + rows([seed], ORDERS, REMOVALS, LAYER)


# Statistics that are computed from the curve. For an archive too: they then match the code that draws them.
FROM_CURVE = ("curve_mean.csv", "summary.csv", "comparisons.csv")


def table(study, name):
    """Return the path of a table or array that figures are drawn from, in the results or in the archive."""
    if not ARCHIVE or study != DRAWN or name in FROM_CURVE:
        return f"results/{study}/{name}"
    path = archive.held(ARCHIVE, MANIFEST, name)
    if path is None:
        raise WorkflowError(f"archive: {ARCHIVE} does not contain {name}")
    return path


def recalls_of_classes(study, figure):
    """Return the table that a figure of all classes needs beside its own, if the task has this table."""
    return table(study, "class_recall.csv") if TASK.CLASS_COUNTS and figure == "class_accuracy_vs_k" else []


def history(study):
    """Return the path of a seed's training history, with the wildcard `seed`."""
    folder = ARCHIVE if ARCHIVE and study == DRAWN else f"results/{STUDY}"
    return f"{folder}/seed{{seed}}/training.csv"


def has_comparisons(study):
    """Return whether comparisons are possible: at least two networks and two criteria, one of them a baseline."""
    return len(seeds_of(study)) > 1 and len(CRITERIA) > 1 and bool(set(BASELINES) & set(CRITERIA))


def shared_images(study):
    """Return the table of images that networks share; an empty list for one network, or if the archive lacks it."""
    if ARCHIVE and study == DRAWN:
        return archive.held(ARCHIVE, MANIFEST, "shared_images.csv") or []
    return f"results/{study}/shared_images.csv" if len(seeds_of(study)) > 1 else []


def class_options():
    """Return the options of scripts that count the inputs of each class; none if the task has no such counts."""
    if not TASK.CLASS_COUNTS:
        return []
    names = template(rules.get_images.output.classes)
    return ["--classes", names, "--labels", template(f"{SEED}/labels/test.npy")]


def class_files(study):
    """Return the files that `class_options` name."""
    if not TASK.CLASS_COUNTS:
        return []
    labels = expand(f"{SEED}/labels/test.npy", study=STUDY, seed=seeds_of(study))
    return [*expand(rules.get_images.output.classes, study=STUDY), *labels]


def tables(study):
    """Return the tables: the curve and the statistics over networks."""
    sources = [
        *rules.aggregate.output,
        *rules.average_curves.output,
        *rules.summarise.output,
        *rules.compare_rankings.output,
        *rules.explain_shape.output,
    ]
    sources += rules.compare.output if has_comparisons(study) else []
    sources += rules.compare_images.output if len(seeds_of(study)) > 1 else []
    return expand(sources, study=study)


def study_figures(study):
    """Return the figures that show all networks of a study together."""
    without = set() if has_comparisons(study) else {"comparisons.csv"}
    # In a run, only the target `sensitivity` creates this table. An archive may contain it.
    without |= set() if ARCHIVE and archive.held(ARCHIVE, MANIFEST, "sensitivity.csv") else {"sensitivity.csv"}
    return expand(
        rules.plot.output, study=study, figure=[f for f, data in STUDY_FIGURES.items() if data not in without]
    )


def all_figures(study):
    """Return the figures of all networks together and those of single networks."""
    count = config["figures"]["maps_seeds"]
    seeds = SEEDS if count == "all" else SEEDS[:count]
    of_one = expand(rules.plot_network.output, study=study, figure=NETWORK_FIGURES, seed=seeds, layer=LAYER)
    return study_figures(study) + of_one


def verifications():
    """Return the verification tables of all networks."""
    return expand(rules.verify_surgery.output, study=STUDY, seed=SEEDS, layer=LAYER, target="")


def everything():
    """Return all results of a study; for an archive, only its figures and summary."""
    if ARCHIVE:
        return [*all_figures(DRAWN), *expand(rules.summarise.output, study=DRAWN)]
    return [*tables(STUDY), *verifications(), *all_figures(STUDY)]


def archived():
    """Return the files of an archive as patterns relative to the study's folder."""
    data = {*STUDY_FIGURES.values(), "curve.csv", "summary.csv", "shape_table.csv"}
    # This table is large and is computed from the curve within a second.
    data -= {"curve_mean.csv"}
    data -= set() if os.path.exists(placed(f"results/{STUDY}/sensitivity.csv")) else {"sensitivity.csv"}
    data -= set() if has_comparisons(STUDY) else {"comparisons.csv"}
    data |= {"shared_images.csv"} if len(SEEDS) > 1 else set()
    data |= {"class_recall.csv"} if TASK.CLASS_COUNTS else set()
    of_layer = ["ranking/{criterion}.csv", "verification.csv"]
    of_layer += [f"activations/test/{name}" for name in ("channels.csv", "mean_maps.npy")]
    return [*sorted(data), "seed{seed}/training.csv", *(f"seed{{seed}}/{LAYER}/{name}" for name in of_layer)]


def frozen_config():
    """Return the config that an archive stores: without `data_dir`, which is valid on one machine only, and run options."""
    return {key: value for key, value in config.items() if key not in ("data_dir", "archive", "overwrite")}


def code_lines():
    """Return the settings for the code of all scripts and of the study's criteria."""
    used = sorted({criterion_of(order).removeprefix(REVERSED) for order in [*ORDERS, *SENSITIVITY_ORDERS]})
    lines = [code(path.stem) for path in sorted(SCRIPTS.glob("*.py"))]
    lines += [code(path.stem, OF_TASK) for path in sorted(SCRIPTS.glob("*.py"))]
    lines += [code("get_images", READER), code("make_pairs", INPUTS_OF_TASK)]
    # The table of the target `sensitivity` contains evaluations of all convolutions.
    for layer in dict.fromkeys([LAYER, *CONVOLUTIONS]):
        lines += [code(name, OF_TASK, *backends(layer)) for name in ("eval_pruned", "verify_surgery")]
        lines += [code("rank_channels", *modules_of(name, layer)) for name in used]
    return list(dict.fromkeys(lines))


def archive_of_study():
    """Return the manifest of the archive named after the study.

    Raises WorkflowError if this would replace the archive of another study or one that is committed to git.
    """
    path = Path("archive", STUDY, archive.MANIFEST)
    try:
        archive.require_replaceable(Path(placed(path.as_posix())).parent, frozen_config())
    except StudyError as error:
        raise WorkflowError(str(error)) from None
    return path.as_posix()


wildcard_constraints:
    study="|".join(map(re.escape, [DRAWN, STUDY, f"{STUDY}/partial"])),
    seed=r"\d+",
    split="|".join(SPLITS),
    layer="|".join(map(re.escape, LAYERS)),
    point="conv|bn|relu|pool",
    target="(_sensitivity)?",
    criterion="|".join([*criteria.allowed(), r"random-\d+"]),
    removal="|".join(REMOVAL_NAMES),
    ks="|".join([r"\d+", *{name for several in K_BATCHES.values() for name in several if "-" in name}]),
