# Shared by all rules: the checked config and what follows from it alone.

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
WORKFLOW = Path(os.path.relpath(Path(workflow.current_basedir).parent.parent))
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

from prunecurve.archive import archive
from prunecurve.ranking import criteria
from prunecurve import figures
from prunecurve.verification import PERTURBATION, SURGERY
from prunecurve.verification.checked_ks import checked_ks, drawn_ks
from prunecurve.config import (
    Layers,
    check,
    data_settings,
    k_batches,
    keys_of_tables,
    misfits,
    of_archive,
    pruned_layer,
    replaced,
    resolved,
    sensitivity_layers,
    settings,
    weights_settings,
    wrong_layer,
)
from prunecurve.data.datasets import DATASETS, MODULES
from prunecurve.errors import StudyError
from prunecurve.files import read_rows
from prunecurve.model.factory import MODULE_PATH, path_of_weights
from prunecurve.model.code_and_weights import code_of_network, contents_of_weights
from prunecurve.training.learned import kept_epoch, shortfall
from prunecurve.machine import gpus, machine
from prunecurve.naming import BASELINES, REVERSED, criterion_of, orders
from prunecurve.data import tasks
from prunecurve.data.checks import asked_sizes, check_data
from prunecurve.data.splits import SPLITS
from prunecurve.progress import Follower
from prunecurve.provenance import SEPARATOR
from prunecurve.provenance.code import code_setting
from prunecurve.provenance.seal import read_settings, settings_of as stored_settings
from prunecurve.sweep.removal import REMOVALS as REMOVAL_NAMES

# In a `module:` with a prefix, Snakemake changes the paths of inputs, outputs and logs, but not those in parameters.
PATHS = workflow.modifier.path_modifier


def placed(path):
    """Return the path with the prefix of the module, if this workflow is used as a module."""
    return str(path if get_flag_value(path, PATH_MODIFIER_FLAG) else PATHS.replace_prefix(path))


def archive_folder(name):
    """Return the folder of an archive: in the working folder or, if it has none of this name, in the project."""
    path = f"archive/{name}"
    # Absolute paths get no prefix.
    own = path if placed(path) == path else os.path.abspath(placed(path))
    return PROJECT / path if not os.path.isdir(own) and os.path.isdir(PROJECT / path) else Path(own)


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
    config = check(config)
    # The folder of the frozen study whose figures are drawn, or None.
    ARCHIVE = archive_folder(config["archive"]) if config["archive"] else None
    if ARCHIVE:
        MANIFEST = archive.checked(ARCHIVE)
        config = of_archive(MANIFEST["config"], workflow.config_settings.overwrite_config)
    DATA_DIR = os.path.expanduser(config["data_dir"])
    DATA_CONTENT = content_of_data(needed=not ARCHIVE or "data_dir" in workflow.config_settings.overwrite_config)
except StudyError as error:
    raise WorkflowError(str(error)) from None

DATASET, SEEDS = config["dataset"], config["seeds"]
# The data set in titles and in the column `dataset` of tables.
DATASET_NAME = config["dataset_name"] or DATASET
# A run writes to results/{STUDY}; the figures of an archive go to results/archive/NAME.
STUDY = config["study"]
DRAWN = f"archive/{ARCHIVE.name}" if ARCHIVE else STUDY
CRITERIA = config["ranking"]["criteria"]
# Names of the rankings: one per criterion, except several for `random`.
ORDERS = orders(CRITERIA, config["ranking"]["random_draws"])
SENSITIVITY_ORDERS = orders(config["sensitivity"]["criteria"], config["ranking"]["random_draws"])
SPLIT, POINT = config["ranking"]["split"], config["ranking"]["measure_at"]
REMOVALS = config["sweep"]["removals"]

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

# The module of the task, and its name for the parameter `code`.
TASK = tasks.load(config["task"])
OF_TASK = f"data.tasks.{config['task']}"
# The module that reads the data set.
READER = f"data.datasets.{MODULES[DATASET]}"
