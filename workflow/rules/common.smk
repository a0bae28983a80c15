# What the rules share: the checked config, the files a script runs, options from a section of the config.

import os
import sys
from pathlib import Path

# Relative to where the workflow runs, so that a study can be moved without being run again.
WORKFLOW = Path(os.path.relpath(Path(workflow.current_basedir).parent))
SCRIPTS = WORKFLOW / "scripts"
sys.path.insert(0, str(SCRIPTS.resolve()))

# The jobs' `python` is the one that runs Snakemake, whether or not its environment was activated.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))

from prunecurve import criteria, figures
from prunecurve.config import check, ks, load_schema, packs
from prunecurve.errors import StudyError
from prunecurve.datasets import fingerprint
from prunecurve.pairs import SPLITS
from prunecurve.removal import REMOVALS as REMOVAL_NAMES
from prunecurve.source import digest
from prunecurve.sweep import checked_ks

try:
    config = check(config, load_schema(WORKFLOW / "schemas" / "config.schema.yaml"))
    DATA_DIR = os.path.expanduser(config["data_dir"])
    DATA_CONTENT = fingerprint(config["dataset"], DATA_DIR)
except StudyError as error:
    raise WorkflowError(str(error)) from None

CRITERIA = config["ranking"]["criteria"]
REMOVALS = config["sweep"]["removals"]
KS = ks(config)
# Evaluation jobs: their names, by which their files are called, and the K of each.
PACKS = packs(config)
PACK_OF = {k: name for name, several in PACKS.items() for k in several}

# Surgery proves what the study shows, and in any case the two ways of removal that the reference experiment confuses.
VERIFIED_REMOVALS = list(dict.fromkeys([*REMOVALS, "structural", "zero_weights"]))
VERIFIED_PACKS = [PACK_OF.get(k, str(k)) for k in checked_ks(config["network"]["channels"][-1])]

NETWORK_FIGURES = figures.of("of_network")
STUDY_FIGURES = {name: "curve.csv" for name in figures.of("of_curve")}
STUDY_FIGURES |= {name: "channels.csv" for name in figures.of("of_channels")}


def script(name):
    """The path of a rule's script."""
    return str(SCRIPTS / f"{name}.py")


def code(name, *plugins):
    """A digest of the script and of every module it runs, none of which Snakemake tracks: an edit runs the rule again.

    As a parameter and not as input files: a sweep has thousands of jobs, and each input file costs every one.
    """
    return digest(script(name), *plugins)


def options(settings):
    """A section of the config as a script's options: `{epochs: 6}` is `--epochs 6`."""
    words = []
    for key, value in settings.items():
        words.append(f"--{key.replace('_', '-')}")
        words.extend(str(v) for v in (value if isinstance(value, list) else [value]))
    return words


def template(path, **known):
    """A path with the wildcards left that a script fills in: for a job that reads thousands of files."""
    for name, value in {"dataset": config["dataset"], **known}.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def mean_features(removals):
    """The input of a job that puts mean maps in the place of channels; none where no removal does."""
    if "mean_replacement" not in removals:
        return []
    return f"results/{{dataset}}/seed{{seed}}/activations/{config['ranking']['split']}/mean_features.npy"


def validation(path, criterion):
    """A file of the validation pairs, as input of a criterion that reads their labels; none for the others."""
    return f"results/{{dataset}}/seed{{seed}}/{path}" if criteria.reads_labels(criterion) else []


ROWS = "results/{dataset}/seed{seed}/sweep/{criterion}/{removal}/k{ks}.csv"
RANKING = "results/{dataset}/seed{seed}/ranking/{criterion}.csv"


wildcard_constraints:
    # A study has one data set; asking for another one's files needs that one's config.
    dataset=config["dataset"],
    seed=r"\d+",
    split="|".join(SPLITS),
    criterion="|".join(criteria.names()),
    removal="|".join(REMOVAL_NAMES),
    ks="|".join([r"\d+", *(name for name in PACKS if "-" in name)]),
