# Shared by all rules: the checked config, the study that follows from it, and the few things that need Snakemake.

import functools
import json
import os
import re
import shlex
import sys
from pathlib import Path

from snakemake.logging import logger

PROJECT = Path(workflow.current_basedir).parent.parent
# Relative to the working folder, so that a moved study does not run again.
SCRIPT_FILES = Path(os.path.relpath(PROJECT / "workflow" / "scripts"))
sys.path.insert(0, str(SCRIPT_FILES.resolve()))

# Jobs use the Python that runs Snakemake, even if its environment is not activated.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
# A script finds the package because Python adds the script's folder to its path; this variable forbids it.
os.environ.pop("PYTHONSAFEPATH", None)
# An empty entry (PYTHONPATH=$PYTHONPATH:FOLDER) is the working folder, whose files then replace modules of Python.
if entries := os.environ.get("PYTHONPATH"):
    os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, entries.split(os.pathsep))))

from prunecurve import figures
from prunecurve.archive import archive
from prunecurve.config import (
    Layers,
    check,
    data_settings,
    keys_of_tables,
    misfits,
    of_archive,
    replaced,
    settings,
    weights_settings,
)
from prunecurve.data.datasets import DATASETS, MODULES, asked_sizes, check_data
from prunecurve.data.splits import SPLITS
from prunecurve.errors import StudyError
from prunecurve.files import read_rows
from prunecurve.machine import gpus, machine
from prunecurve.model.code_and_weights import code_of_network, contents_of_weights
from prunecurve.model.factory import MODULE_PATH, path_of_weights
from prunecurve.provenance import SEPARATOR
from prunecurve.provenance.code import code_setting
from prunecurve.provenance.seal import read_settings
from prunecurve.provenance.seal import settings_of as stored_settings
from prunecurve.ranking import criteria
from prunecurve.study import *
from prunecurve.sweep.k_batches import as_word
from prunecurve.sweep.removal import REMOVALS

# In a `module:` with a prefix, Snakemake changes the paths of inputs, outputs and logs, but not those in parameters.
PATHS = workflow.modifier.path_modifier


def placed(path):
    """Return a path with the prefix of the module, if this workflow is used as a module."""
    return str(PATHS.replace_prefix(path))


# ---- the config


def frozen_study(name):
    """Return the archive of this name: in the working folder or, if it has none of this name, in the project."""
    folder, of_project = Path(placed(f"archive/{name}")), PROJECT / "archive" / name
    folder = of_project if of_project.is_dir() and not folder.is_dir() else folder
    return Frozen(folder, archive.checked(folder))


# The environment variable in which a run hands the settings for the code of a user's network to jobs in processes of
# their own. They would compute them again, perhaps after an edit.
PLANNED_CODE = "PRUNECURVE_CODE_OF_NETWORK"
try:
    config = check(config)
    asked, frozen = workflow.config_settings.overwrite_config, None
    if config["archive"]:
        frozen = frozen_study(config["archive"])
        config = of_archive(frozen.manifest["config"], asked)
    DATA_DIR, DATA_CONTENT = os.path.expanduser(config["data_dir"]), ""
    # Figures of an archive are drawn without the data set, unless the command names its folder.
    if not frozen or "data_dir" in asked:
        # Jobs in processes of their own were planned with data that were checked.
        if workflow.is_main_process:
            check_data(config, DATA_DIR)
        DATA_CONTENT = DATASETS[config["dataset"]].fingerprint(DATA_DIR, ".snakemake/prunecurve/images.json")
    if workflow.is_main_process or PLANNED_CODE not in os.environ:
        os.environ.update({PLANNED_CODE: "|".join([] if frozen else code_of_network(config["network"]))})
    WEIGHTS = (
        contents_of_weights(config["network"], config["seeds"], ".snakemake/prunecurve/weights.json")
        if not frozen
        else {}
    )
except StudyError as error:
    raise WorkflowError(str(error)) from None
CODE_OF_NETWORK = [line for line in os.environ.get(PLANNED_CODE).split("|") if line]
# The settings for what lies in files of the user: the images and the weights.
OF_FILES = [*data_settings(DATA_CONTENT), *weights_settings(WEIGHTS.values())]


# ---- the layers of a user's network: known after the job describe_network, which runs the user's code


def table_of_layers():
    """Return the layers in the table of a user's network as it is now, perhaps outdated; None if there is none."""
    path = placed(LAYER_TABLE.format(study=config["study"]))
    return _table(path, os.stat(path).st_mtime_ns) if os.path.exists(path) else None


@functools.cache
def _table(path, changed):
    return Layers.read(read_rows(path, sealed=False))


def table_is_current():
    """Return whether the table of layers was made with this config and this code."""
    if table_of_layers() is None:
        return False
    own, lines = rules.describe_network.params, settings(config)
    stored = stored_settings(placed(LAYER_TABLE.format(study=config["study"])))
    keys = {line.partition(": ")[0] for line in stored} & lines.keys()
    return {*own.settings(None), own.code, *(lines[key] for key in keys)} <= set(stored)


@functools.cache
def layers_of_users_network():
    """Return the layers of a user's network. For functions of `input` and `params` alone; their job then waits for them.

    Raises WorkflowError if the config asks for a layer or a K that the network does not have, or if the run would
    replace a finished study.
    """
    # Jobs in processes of their own were planned after the checkpoint. With --until, Snakemake (9.27) does not know after
    # a checkpoint that anything needs the outputs of these rules, and would not run them.
    if workflow.is_main_process and not (until() and table_is_current()):
        checkpoints.describe_network.get(study=study.name)
    layers = table_of_layers()
    if lines := list(misfits(config, layers)):
        raise WorkflowError("\n  ".join(["the config has errors:", *lines]))
    # What the table says now was not known when the run started.
    if workflow.is_main_process and not REPLACED and (lines := replaced_settings(layers)):
        raise WorkflowError(f"stopped: {replaces(lines)}")
    return layers


def layers_known(layer=None):
    """Return no files, once the layers of the network are known. An input function that calls it lets its job wait.

    Raises StudyError if the layer, one that a target names, cannot be pruned.
    """
    return [] if study.channels(layer or study.layer) else []


def evaluation_group(w):
    """Return the group of a layer's evaluations. It cannot wait for the layers: before they are known, it is a guess."""
    layers = study.built_in or table_of_layers()
    return "evaluations" if layers and layers.backends.get(w.layer) == "numpy" else "torch_evaluations"


def until():
    """Return the rules of `--until`."""
    return set(workflow.dag_settings.until)


# ---- what the rules use

study = Study(config, layers_of_users_network, frozen, CODE_OF_NETWORK, WEIGHTS, placed)
settings_of = study.settings
# In commands: the folder of scripts; their log, and the settings that their outputs carry; the folder of a study. It is no
# parameter, so that studies of different names can share results through the cache.
SCRIPTS = shlex.quote(str(SCRIPT_FILES)).replace("{", "{{").replace("}", "}}")
LOGGED = "--log {log:q} --settings {params.settings:q} {params.code:q}"
FOLDER = shlex.quote(placed("results/{wildcards.study}"))
# If the environment names a cache folder, checkouts share all slow steps (--cache), but not tables and figures.
CACHED = bool(os.environ.get("SNAKEMAKE_OUTPUT_CACHE"))
# GPUs that a job requests. On a cluster, `auto` requests none: it uses a GPU if there is one, without waiting for it.
# On one machine, jobs that use the GPU run one at a time, because several could exceed its memory. `--resources gpu=2`
# allows two.
GPUS = 1 if config["device"] == "cuda" or (config["device"] == "auto" and workflow.local_exec and gpus()) else 0
if workflow.local_exec:
    workflow.global_resources.setdefault("gpu", 1)
# The same config trains other networks on another kind of machine, so the cache must not mix them. The key of all later
# steps contains that of the training. On a cluster, all nodes are assumed to be of one kind.
MACHINE = machine(config["device"])
# Modules that jobs import by name: the task, and the reader of the data set.
TASK = f"data.tasks.{config['task']}"
READER = f"data.datasets.{MODULES[config['dataset']]}"


def code(name, *plugins):
    """Return a line with the digest of a script, its modules and the versions of the libraries that it imports.

    Snakemake does not track them. The digest is a parameter of the job, so an edit or another version triggers a re-run.
    The modules are not input files, because each input file costs time in each of the thousands of jobs of a sweep.
    """
    return code_setting(SCRIPT_FILES / f"{name}.py", *plugins)


@functools.cache
def seeds_of(folder):
    """Return the seeds in a study's folder: all, or in its folder `partial` those whose evaluations are finished."""
    if folder != study.partial:
        return study.seeds
    done = [seed for seed in study.seeds if all(os.path.exists(placed(p)) for p in study.files_of_network(seed))]
    missing = [str(seed) for seed in study.seeds if seed not in done]
    if not done:
        raise WorkflowError("partial: no seed of the study has finished all its evaluations yet")
    logger.warning(f"partial: includes seeds {', '.join(map(str, done))}; missing: {', '.join(missing) or 'none'}")
    return done


def of_networks(path, folder, **known):
    """Return the files of all networks of a study's folder."""
    return expand(path, study=study.name, seed=seeds_of(folder), layer=study.layer, **known)


def table_if(needed, name, path):
    """Return a table and its settings as outputs, if the study has this table."""
    return {name: path, f"{name}_settings": f"{path}.settings"} if needed else {}


def in_tables(path, label, caption):
    """Return an output that the report shows in its category Tables."""
    return report(path, category="Tables", labels={"table": label}, caption=f"../report/{caption}.rst")


def in_figures(path, subcategory):
    """Return an output that the report shows in its category Figures."""

    def labels(w):
        return {"figure": w.figure.replace("_", " ")} | {key: w[key] for key in ("layer", "seed") if key in w.keys()}

    return report(path, category="Figures", subcategory=subcategory, labels=labels, caption="../report/figure.rst")


KS_OF_JOBS = (
    [ks for layer in study.built_in.channels for ks in study.k_batches(layer)] if study.built_in else [r"\d+-\d+"]
)


wildcard_constraints:
    study="|".join(map(re.escape, [study.drawn, study.name, study.partial])),
    seed=r"\d+",
    split="|".join(SPLITS),
    # The path of any module, if the layers are not known yet.
    layer="|".join(map(re.escape, study.built_in.channels)) if study.built_in else MODULE_PATH,
    point="conv|bn|relu|pool",
    target="(_sensitivity)?",
    criterion="|".join([*criteria.allowed(), r"random-\d+"]),
    removal="|".join(REMOVALS),
    ks="|".join([r"\d+", ONLY_VERIFIED, *KS_OF_JOBS]),
