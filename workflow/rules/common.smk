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

from prunecurve import figures, jobs
from prunecurve.archive import archive
from prunecurve.config.check import check
from prunecurve.config.layers import Layers, misfits
from prunecurve.config.settings import data_settings, of_archive, weights_settings
from prunecurve.config.settings import settings as config_settings
from prunecurve.data.datasets import DATASETS, MODULES, check_data
from prunecurve.data.splits import SPLITS
from prunecurve.errors import StudyError
from prunecurve.tables import read_rows
from prunecurve.machine import gpus, machine
from prunecurve.model.factory import MODULE_PATH, code_of_network, contents_of_weights, path_of_weights
from prunecurve.provenance.code import code_setting
from prunecurve.provenance import settings_of as stored_settings
from prunecurve.ranking import criteria
from prunecurve.study import *
from prunecurve.study import recovery
from prunecurve.study.paths import *
from prunecurve.sweep.removal import REMOVALS, VARIANTS, parts_of

# In a `module:` with a prefix, Snakemake changes the paths of inputs, outputs and logs, but not those in parameters.
PATHS = workflow.modifier.path_modifier


def placed(path):
    """Return a path with the prefix of the module, if this workflow is used as a module."""
    return str(PATHS.replace_prefix(path))


# ---- the config

jobs.prepare()
# The environment variable in which a run hands the settings for the code of a user's network to jobs in processes of
# their own. They would compute them again, perhaps after an edit.
PLANNED_CODE = "PRUNECURVE_CODE_OF_NETWORK"
try:
    config = check(config)
    asked, frozen = workflow.config_settings.overwrite_config, None
    if config["archive"]:
        # In the working folder or, if it has none of this name, in the project.
        frozen = Frozen.named(config["archive"], [Path(placed("archive")), PROJECT / "archive"])
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
    WEIGHTS = {}
    if not frozen:
        WEIGHTS = contents_of_weights(config["network"], config["seeds"], ".snakemake/prunecurve/weights.json")
except StudyError as error:
    raise WorkflowError(str(error)) from None
CODE_OF_NETWORK = [line for line in os.environ.get(PLANNED_CODE).split("|") if line]
# The settings for what lies in files of the user: the images and the weights.
USERS_FILES = [*data_settings(DATA_CONTENT), *weights_settings(WEIGHTS.values())]


# ---- what the rules use

# The layers of a user's network are known after a job: layers.smk.
study = Study(config, lambda: layers_of_users_network(), frozen)
# The parameter `settings` of a job has only what the job itself reads: keys of the config, and its code. The settings of
# its inputs are stored in these files. The parameter `options` has all options of the command that are no files.
settings, options = Settings(study, CODE_OF_NETWORK, WEIGHTS), Options(study, placed)
# The folder of a study, in commands. It is no parameter, so that studies of different names can share results through the
# cache.
FOLDER = shlex.quote(placed("results/{wildcards.study}"))
# If the environment names a cache folder, checkouts share all slow steps (--cache), but not tables and figures.
CACHED = bool(os.environ.get("SNAKEMAKE_OUTPUT_CACHE"))
# GPUs that a job requests. On a cluster, `auto` requests none: it uses a GPU if there is one, without waiting for it.
# On one machine, jobs that use the GPU run one at a time, because several could exceed its memory. `--resources gpu=2`
# allows two.
GPUS = 1 if config["device"] == "cuda" or (config["device"] == "auto" and workflow.local_exec and gpus()) else 0
if workflow.local_exec:
    workflow.global_resources.setdefault("gpu", 1)
# The modules of the task, which jobs import by name: its inputs, and its metrics.
TASK = [f"data.tasks.{config['task']}.{module}" for module in ("inputs", "metrics")]


def command(name):
    """Return the beginning of a command: the script, its log, and the lines that its outputs carry, `settings`.

    An option whose files are an empty list has no value: the script takes it as not given.
    """
    script = shlex.quote(str(SCRIPT_FILES / f"{name}.py")).replace("{", "{{").replace("}", "}}")
    return f"python {script} --log {{log:q}} --settings {{params.settings:q}}"


def code(name, *plugins):
    """Return a list of one line: the digest of a script, its modules and the versions of the libraries that it imports.

    Snakemake does not track them. The digest is a parameter of the job, so an edit or another version triggers a re-run.
    The modules are not input files, because each input file costs time in each of the thousands of jobs of a sweep.
    """
    return [code_setting(SCRIPT_FILES / f"{name}.py", *plugins)]


@functools.cache
def seeds_in(folder):
    """Return the seeds in a study's folder: all, or in its folder `partial` those whose evaluations are finished."""
    if folder != study.partial:
        return study.seeds
    done = study.finished_seeds(lambda path: os.path.exists(placed(path)))
    missing = [str(seed) for seed in study.seeds if seed not in done]
    if not done:
        raise WorkflowError("partial: no seed of the study has finished all its evaluations yet")
    logger.warning(f"partial: includes seeds {', '.join(map(str, done))}; missing: {', '.join(missing) or 'none'}")
    return done


def expand_networks(path, folder, **wildcards):
    """Return the files of all networks of a study's folder."""
    return expand(path, study=study.name, seed=seeds_in(folder), layer=study.layer, **wildcards)


def settings_files(*tables):
    """Return the files with the settings of these tables. They lie next to tables, which contain nothing but data."""
    return [f"results/{{study}}/{table}.csv.settings" for table in tables]


def in_tables(path, label, caption):
    """Return an output that the report shows in its category Tables."""
    return report(path, category="Tables", labels={"table": label}, caption=f"../report/{caption}.rst")


def in_figures(path, subcategory):
    """Return an output that the report shows in its category Figures."""

    def labels(w):
        return {"figure": w.figure.replace("_", " ")} | {key: w[key] for key in ("layer", "seed") if key in w.keys()}

    return report(path, category="Figures", subcategory=subcategory, labels=labels, caption="../report/figure.rst")


wildcard_constraints:
    study="|".join(map(re.escape, [study.drawn, study.name, study.partial])),
    seed=r"\d+",
    split="|".join(SPLITS),
    # The path of any module, if the layers are not known yet.
    layer="|".join(map(re.escape, study.built_in.channels)) if study.built_in else MODULE_PATH,
    point="conv|bn|relu|pool",
    target="(_sensitivity)?",
    # A ranking: a criterion, a draw of random, or a reversed criterion.
    criterion="|".join([*criteria.allowed(), r"random-\d+"]),
    removal="|".join(map(re.escape, VARIANTS)),
    budget="|".join(map(re.escape, study.budgets)),
    ks="|".join(study.ks_patterns()),
