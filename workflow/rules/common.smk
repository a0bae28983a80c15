# What the rules share: the checked config, the files that a script runs, options from a section of the config.

import functools
import json
import os
import re
import sys
from pathlib import Path

from snakemake.logging import logger

# Relative to the folder where the workflow runs, so that a study can be moved without being run again.
WORKFLOW = Path(os.path.relpath(Path(workflow.current_basedir).parent))
SCRIPTS = WORKFLOW / "scripts"
sys.path.insert(0, str(SCRIPTS.resolve()))

# The jobs' `python` is the one that runs Snakemake, whether or not its environment was activated.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))

from prunecurve import archive, criteria, figures
from prunecurve.config import (
    check,
    data_settings,
    layers,
    load_schema,
    of_archive,
    packs,
    pruned_layer,
    replaced,
    settings,
)
from prunecurve.datasets import fingerprint
from prunecurve.errors import StudyError
from prunecurve.files import read_settings
from prunecurve.naming import BASELINES, REVERSED, criterion_of, orders
from prunecurve.pairs import SPLITS
from prunecurve.progress import Follower
from prunecurve.removal import REMOVALS as REMOVAL_NAMES
from prunecurve.source import code_setting
from prunecurve.sweep import checked_ks

try:
    SCHEMA = load_schema(WORKFLOW / "schemas" / "config.schema.yaml")
    config = check(config, SCHEMA)
    # The folder of a frozen study whose figures are to be drawn, or None.
    ARCHIVE = Path("archive", config["archive"]) if config["archive"] else None
    if ARCHIVE:
        MANIFEST = archive.checked(ARCHIVE)
        config = of_archive(MANIFEST["config"], workflow.config_settings.overwrite_config, SCHEMA)
    DATA_DIR = os.path.expanduser(config["data_dir"])
    # Figures from an archive need no data.
    DATA_CONTENT = "" if ARCHIVE and not os.path.isdir(DATA_DIR) else fingerprint(config["dataset"], DATA_DIR)
except StudyError as error:
    raise WorkflowError(str(error)) from None

DATASET, SEEDS = config["dataset"], config["seeds"]
# A run writes to results/{STUDY}; the figures of an archive go to results/archive/NAME.
STUDY = config["study"]
DRAWN = ARCHIVE.as_posix() if ARCHIVE else STUDY
CRITERIA = config["ranking"]["criteria"]
# Rankings: one per criterion, several of `random`.
ORDERS = orders(CRITERIA, config["ranking"]["random_draws"])
SENSITIVITY_ORDERS = orders(config["sensitivity"]["criteria"], config["ranking"]["random_draws"])
SPLIT, POINT = config["ranking"]["split"], config["ranking"]["measure_at"]
REMOVALS = config["sweep"]["removals"]
# The convolutions and their channels; the last one's sweep needs no torch.
LAYERS = layers(config)
LAYER, LAST = pruned_layer(config), list(LAYERS)[-1]
# For each layer, its evaluation jobs: their names, after which their files are called, and the K of each.
PACKS = {layer: packs(config, layer) for layer in LAYERS}

# With a folder for it in the environment, checkouts share all that takes long (--cache); tables and figures are not shared.
CACHED = bool(os.environ.get("SNAKEMAKE_OUTPUT_CACHE"))

# Verification covers what the study shows, and in any case the two removals that the reference experiment confuses.
VERIFIED_REMOVALS = list(dict.fromkeys([*REMOVALS, "structural", "zero_weights"]))

# What jobs request from a cluster. `auto` requests no GPU: it uses one where there is one, and doesn't wait for it.
GPUS = 1 if config["device"] == "cuda" else 0

NETWORK_FIGURES = figures.of("of_network")
# A figure's folder is named after its table.
STUDY_FIGURES = {
    name: f"{folder.removeprefix('of_')}.csv"
    for folder in figures.folders()
    for name in figures.of(folder)
    if folder != "of_network"
}


def script(name):
    """The path of a rule's script."""
    return str(SCRIPTS / f"{name}.py")


def code(name, *plugins):
    """A line with the digest of the script, of every module that it runs and of the versions of the libraries that it imports.

    Snakemake tracks none of them; as a parameter of the job, an edit or another version triggers a re-run. They are not
    input files, since a sweep has thousands of jobs and each input file costs time in every one of them.
    """
    return code_setting(script(name), *plugins)


SETTINGS = settings(config)


def made_with(*keys):
    """The settings, as lines `KEY: VALUE`, that a rule's outputs depend on; keys are those of the config or of a section.

    The outputs carry them, and freezing an archive compares them with the config.
    """
    return [line for key, line in SETTINGS.items() if any(key == k or key.startswith(f"{k}.") for k in keys)]


def made_from_seeds(study):
    """The setting that names the networks of a study's folder."""
    return [settings(config | {"seeds": seeds_of(study)})["seeds"]]


def rankings_made_with(criteria):
    """The settings of a job that reads all rankings of these criteria."""
    return made_with("ranking.random_draws") if "random" in criteria else []


# First requests are about four times the peaks that were measured with the reference experiment's network: 0.5 GB for
# jobs with torch, 0.2 GB for figures, 0.13 GB for all others.
def grown(first):
    """Memory (MB) or time (minutes) that a job requests from a cluster; each retry requests more."""
    return lambda wildcards, attempt: first * attempt


def options(settings):
    """A section of the config as a script's options: `{epochs: 6}` gives `--epochs 6`."""
    words = []
    for key, value in settings.items():
        words.append(f"--{key.replace('_', '-')}")
        words.extend(str(v) for v in (value if isinstance(value, list) else [value]))
    return words


def template(path, **known):
    """A path in which the script fills in the remaining wildcards: for a job that reads thousands of files."""
    for name, value in {"study": STUDY, **known}.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def ranking_made_with(criterion):
    """The settings that a criterion's ranking depends on, beside those of its inputs."""
    reads = set(criteria.reads(criterion))
    keys = [f"ranking.{key}" for key in criteria.knobs(criterion)]
    keys += ["ranking.split"] if reads & {"statistics", "maps"} else []
    keys += ["ranking.measure_at"] if criteria.point(criterion, "chosen") == "chosen" else []
    keys += ["threads"] if "labels" in reads else []
    return made_with(*keys)


SEED = "results/{study}/seed{seed}"
IN_LAYER = f"{SEED}/{{layer}}"
FEATURES = f"{IN_LAYER}/activations/test/features.npy"
RANKING = f"{IN_LAYER}/ranking/{{criterion}}.csv"
ROWS = f"{IN_LAYER}/sweep/{{criterion}}/{{removal}}/k{{ks}}.csv"


def mean_features(removals):
    """The input of a job that replaces channels by their mean maps; none for the other removals."""
    return f"{IN_LAYER}/activations/{SPLIT}/mean_features.npy" if "mean_replacement" in removals else []


def read_by(criterion, what, path):
    """An input of a criterion that reads it; none for the others."""
    return path if what in criteria.reads(criterion) else []


def knobs(criterion):
    """The criterion's parameters in the config, as KEY=NUMBER."""
    return [f"{key}={config['ranking'][key]}" for key in criteria.knobs(criterion)]


def ks_of(layer, name):
    """The K of an evaluation job; one that the study doesn't have is evaluated for the verification alone."""
    return PACKS[layer].get(name) or [int(name)]


def verified_orders(target):
    """The rankings that are verified: the study's, or those of the target sensitivity."""
    most = config["verification"]["rankings"]
    return (SENSITIVITY_ORDERS if target else ORDERS)[: None if most == "all" else most]


def verified_packs(layer):
    """For each K that surgery checks, the job that evaluates it."""
    job_of = {k: name for name, several in PACKS[layer].items() for k in several}
    return [job_of.get(k, str(k)) for k in checked_ks(LAYERS[layer])]


def rows(seeds, orders, removals, layer):
    """All rows of some rankings."""
    return expand(ROWS, seed=seeds, layer=layer, criterion=orders, removal=removals, ks=PACKS[layer], study=STUDY)


@functools.cache
def seeds_of(study):
    """The networks of a study's folder: all, or in its part `partial` those whose evaluations are done."""
    if study != f"{STUDY}/partial":
        return SEEDS
    done = [seed for seed in SEEDS if all(map(os.path.exists, inputs_of_tables(seed)))]
    missing = [str(seed) for seed in SEEDS if seed not in done]
    if not done:
        raise WorkflowError("partial: no seed of the study has all its evaluations yet")
    logger.warning(f"partial: includes seeds {', '.join(map(str, done))}; missing: {', '.join(missing) or 'none'}")
    return done


def inputs_of_tables(seed):
    """The files of one seed that the tables and figures are made from, and what those were made from."""
    known = {"study": STUDY, "seed": seed, "layer": LAYER}
    sources = [
        *rules.make_pairs.output,
        *rules.train.output,
        *expand(rules.collect_activations.output, split="test", **known),
    ]
    return expand(sources, **known) + expand(RANKING, criterion=ORDERS, **known) + rows([seed], ORDERS, REMOVALS, LAYER)


# Statistics of the curve: of an archive too they are computed from its curve, by the code that draws them.
FROM_CURVE = ("curve_mean.csv", "summary.csv", "comparisons.csv")


def table(study, name):
    """A table or map that figures are drawn from: a file of the run, or of the archive."""
    if not ARCHIVE or study != DRAWN or name in FROM_CURVE:
        return f"results/{study}/{name}"
    path = archive.held(ARCHIVE, MANIFEST, name)
    if path is None:
        raise WorkflowError(f"archive: {ARCHIVE} doesn't hold {name}")
    return path


def has_comparisons(study):
    """Whether there is anything to compare: two networks and two criteria, one of which is a baseline."""
    return len(seeds_of(study)) > 1 and len(CRITERIA) > 1 and bool(set(BASELINES) & set(CRITERIA))


def tables(study):
    """The curve and the statistics over networks."""
    sources = [
        *rules.aggregate.output,
        *rules.average_curves.output,
        *rules.summarise.output,
        *rules.compare_rankings.output,
        *rules.explain_shape.output,
    ]
    return expand(sources + (list(rules.compare.output) if has_comparisons(study) else []), study=study)


def study_figures(study):
    """The figures of all networks of a study together."""
    without = set() if has_comparisons(study) else {"comparisons.csv"}
    # In a run the target `sensitivity` makes it; an archive has it or not.
    without |= set() if ARCHIVE and archive.held(ARCHIVE, MANIFEST, "sensitivity.csv") else {"sensitivity.csv"}
    return expand(
        rules.plot.output, study=study, figure=[f for f, data in STUDY_FIGURES.items() if data not in without]
    )


def all_figures(study):
    """The figures of all networks together and those of single networks."""
    count = config["figures"]["maps_seeds"]
    seeds = SEEDS if count == "all" else SEEDS[:count]
    of_one = expand(rules.plot_network.output, study=study, figure=NETWORK_FIGURES, seed=seeds, layer=LAYER)
    return study_figures(study) + of_one


def verifications():
    """The comparison of each network's sweep with surgery."""
    return expand(rules.verify_surgery.output, study=STUDY, seed=SEEDS, layer=LAYER, target="")


def everything():
    """All results of a study; of an archive its figures and summary, which is all that is left to do."""
    if ARCHIVE:
        return [*all_figures(DRAWN), *expand(rules.summarise.output, study=DRAWN)]
    return [*tables(STUDY), *verifications(), *all_figures(STUDY)]


def archived():
    """The files of an archive, as patterns below the study's folder."""
    data = {*STUDY_FIGURES.values(), "curve.csv", "summary.csv", "shape_table.csv"}
    # Large, and computed from the curve within a second.
    data -= {"curve_mean.csv"}
    data -= set() if os.path.exists(f"results/{STUDY}/sensitivity.csv") else {"sensitivity.csv"}
    data -= set() if has_comparisons(STUDY) else {"comparisons.csv"}
    of_layer = ["ranking/{criterion}.csv", "verification.csv"]
    of_layer += [f"activations/test/{name}" for name in ("channels.csv", "mean_maps.npy")]
    return [*sorted(data), "seed{seed}/training.csv", *(f"seed{{seed}}/{LAYER}/{name}" for name in of_layer)]


def frozen_config():
    """The config that an archive keeps. The folder of the data is of one machine alone."""
    return {key: value for key, value in config.items() if key not in ("data_dir", "archive", "overwrite")}


def archive_of_study():
    """The manifest of the archive named after the study; it replaces neither another study's nor a committed archive."""
    path = Path("archive", STUDY, archive.MANIFEST)
    try:
        archive.require_replaceable(path.parent, frozen_config())
    except StudyError as error:
        raise WorkflowError(str(error)) from None
    return path.as_posix()


wildcard_constraints:
    study="|".join(map(re.escape, [DRAWN, STUDY, f"{STUDY}/partial"])),
    seed=r"\d+",
    split="|".join(SPLITS),
    layer="|".join(LAYERS),
    point="conv|bn|relu|pool",
    target="(_sensitivity)?",
    criterion="|".join([*criteria.allowed(), r"random-\d+"]),
    removal="|".join(REMOVAL_NAMES),
    ks="|".join([r"\d+", *{name for several in PACKS.values() for name in several if "-" in name}]),
