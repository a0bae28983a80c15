# What the rules share: the checked config, the files a script runs, options from a section of the config.

import functools
import json
import os
import sys
from pathlib import Path

from snakemake.logging import logger

# Relative to where the workflow runs, so that a study can be moved without being run again.
WORKFLOW = Path(os.path.relpath(Path(workflow.current_basedir).parent))
SCRIPTS = WORKFLOW / "scripts"
sys.path.insert(0, str(SCRIPTS.resolve()))

# The jobs' `python` is the one that runs Snakemake, whether or not its environment was activated.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))

from prunecurve import archive, criteria, figures
from prunecurve.config import check, layers, load_schema, of_archive, packs, pruned_layer
from prunecurve.datasets import fingerprint
from prunecurve.errors import StudyError
from prunecurve.naming import BASELINES, REVERSED, criterion_of, orders
from prunecurve.pairs import SPLITS
from prunecurve.removal import REMOVALS as REMOVAL_NAMES
from prunecurve.source import digest
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
# What is drawn and shown lies in results/{STUDY}.
STUDY = ARCHIVE.as_posix() if ARCHIVE else DATASET
CRITERIA = config["ranking"]["criteria"]
# Rankings: one a criterion, several of `random`.
ORDERS = orders(CRITERIA, config["ranking"]["random_draws"])
SENSITIVITY_ORDERS = orders(config["sensitivity"]["criteria"], config["ranking"]["random_draws"])
SPLIT, POINT = config["ranking"]["split"], config["ranking"]["measure_at"]
REMOVALS = config["sweep"]["removals"]
# The convolutions and their channels; the last one's sweep needs no torch.
LAYERS = layers(config)
LAYER, LAST = pruned_layer(config), list(LAYERS)[-1]
# For each layer, its evaluation jobs: their names, by which their files are called, and the K of each.
PACKS = {layer: packs(config, layer) for layer in LAYERS}

# Whoever names a place for it shares with other checkouts all that takes long (--cache); tables and figures don't.
CACHED = bool(os.environ.get("SNAKEMAKE_OUTPUT_CACHE"))

# Surgery proves what the study shows, and in any case the two ways of removal that the reference experiment confuses.
VERIFIED_REMOVALS = list(dict.fromkeys([*REMOVALS, "structural", "zero_weights"]))

# What jobs ask a cluster for. `auto` asks for no GPU: it takes one where there is one, and doesn't wait for it.
GPUS = 1 if config["device"] == "cuda" else 0

NETWORK_FIGURES = figures.of("of_network")
# A figure lies in a folder that is called after its data.
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
    """A digest of the script, of every module it runs and of the versions of the libraries it imports.

    Snakemake tracks none of them: an edit or another version runs the rule again.

    As a parameter and not as input files: a sweep has thousands of jobs, and each input file costs every one.
    """
    return digest(script(name), *plugins)


# First requests are about four times the peaks that were measured with the reference experiment's network: 0.5 GB where
# torch runs, 0.2 GB of figures, 0.13 GB of all else.
def grown(first):
    """Memory (MB) or time (minutes) that a job asks a cluster for; a retry gets more, should the last have run out."""
    return lambda wildcards, attempt: first * attempt


def options(settings):
    """A section of the config as a script's options: `{epochs: 6}` is `--epochs 6`."""
    words = []
    for key, value in settings.items():
        words.append(f"--{key.replace('_', '-')}")
        words.extend(str(v) for v in (value if isinstance(value, list) else [value]))
    return words


def template(path, **known):
    """A path with the wildcards left that a script fills in: for a job that reads thousands of files."""
    for name, value in {"dataset": DATASET, **known}.items():
        path = path.replace(f"{{{name}}}", value)
    return path


SEED = "results/{dataset}/seed{seed}"
IN_LAYER = f"{SEED}/{{layer}}"
FEATURES = f"{IN_LAYER}/activations/test/features.npy"
RANKING = f"{IN_LAYER}/ranking/{{criterion}}.csv"
ROWS = f"{IN_LAYER}/sweep/{{criterion}}/{{removal}}/k{{ks}}.csv"


def mean_features(removals):
    """The input of a job that puts mean maps in the place of channels; none where no removal does."""
    return f"{IN_LAYER}/activations/{SPLIT}/mean_features.npy" if "mean_replacement" in removals else []


def read_by(criterion, what, path):
    """An input of a criterion that reads it; none for the others."""
    return path if what in criteria.reads(criterion) else []


def knobs(criterion):
    """The config's numbers that a criterion wants, as KEY=NUMBER."""
    return [f"{key}={config['ranking'][key]}" for key in criteria.knobs(criterion)]


def ks_of(layer, name):
    """The K of an evaluation job; one that isn't the study's is asked for by the proof alone."""
    return PACKS[layer].get(name) or [int(name)]


def verified_orders(proof):
    """The rankings that a proof checks: the study's, or those of the target sensitivity."""
    most = config["verification"]["rankings"]
    return (SENSITIVITY_ORDERS if proof else ORDERS)[: None if most == "all" else most]


def verified_packs(layer):
    """For each K that surgery checks, the job that evaluates it."""
    job_of = {k: name for name, several in PACKS[layer].items() for k in several}
    return [job_of.get(k, str(k)) for k in checked_ks(LAYERS[layer])]


def rows(seeds, orders, removals, layer):
    """All rows of some rankings."""
    return expand(ROWS, seed=seeds, layer=layer, criterion=orders, removal=removals, ks=PACKS[layer], dataset=DATASET)


@functools.cache
def seeds_of(study):
    """The networks that a study's folder tells of: all, or in its part `partial` those whose evaluations are done."""
    if study != f"{DATASET}/partial":
        return SEEDS
    done = [seed for seed in SEEDS if all(map(os.path.exists, made_of(seed)))]
    missing = [str(seed) for seed in SEEDS if seed not in done]
    if not done:
        raise WorkflowError("partial: no seed of the study has all its evaluations yet")
    logger.warning(f"partial: seeds {', '.join(map(str, done))} are in it; missing: {', '.join(missing) or 'none'}")
    return done


def made_of(seed):
    """What a seed's part of the tables and figures is made of, and what that was made of."""
    known = {"dataset": DATASET, "seed": seed, "layer": LAYER}
    sources = [
        *rules.make_pairs.output,
        *rules.train.output,
        *expand(rules.collect_activations.output, split="test", **known),
    ]
    return expand(sources, **known) + expand(RANKING, criterion=ORDERS, **known) + rows([seed], ORDERS, REMOVALS, LAYER)


def table(study, name):
    """A table or map that figures are drawn from: where a run writes it, or as the archive holds it."""
    if not ARCHIVE or study != STUDY:
        return f"results/{study}/{name}"
    path = archive.held(ARCHIVE, MANIFEST, name)
    if path is None:
        raise WorkflowError(f"archive: {ARCHIVE} doesn't hold {name}")
    return path


def has_comparisons(study):
    """Differences over networks need two of them, and two criteria, one of which is a baseline."""
    return len(seeds_of(study)) > 1 and len(CRITERIA) > 1 and bool(set(BASELINES) & set(CRITERIA))


def tables(study):
    """The curve and what it says over networks."""
    made = [*rules.aggregate.output, *rules.compare_rankings.output, *rules.explain_shape.output]
    return expand(made + (list(rules.compare.output) if has_comparisons(study) else []), study=study)


def study_figures(study):
    """The figures that tell of all networks of a study."""
    without = set() if has_comparisons(study) else {"comparisons.csv"}
    # A target of its own in a run; in an archive it is there or not.
    without |= set() if ARCHIVE and archive.held(ARCHIVE, MANIFEST, "sensitivity.csv") else {"sensitivity.csv"}
    return expand(
        rules.plot.output, study=study, figure=[f for f, data in STUDY_FIGURES.items() if data not in without]
    )


def all_figures(study):
    """The figures of all networks and those of each."""
    of_one = expand(rules.plot_network.output, study=study, figure=NETWORK_FIGURES, seed=SEEDS, layer=LAYER)
    return study_figures(study) + of_one


def proofs():
    """Surgery's agreement with each network's sweep."""
    return expand(rules.verify_surgery.output, dataset=DATASET, seed=SEEDS, layer=LAYER, proof="")


def everything():
    """All that a study makes; of an archive its figures, which are all that is left to make."""
    return all_figures(STUDY) if ARCHIVE else [*tables(STUDY), *proofs(), *all_figures(STUDY)]


def archived():
    """What an archive holds, as patterns below the study's folder."""
    data = {*STUDY_FIGURES.values(), "summary.csv", "shape_table.csv"}
    data -= set() if os.path.exists(f"results/{DATASET}/sensitivity.csv") else {"sensitivity.csv"}
    data -= set() if has_comparisons(DATASET) else {"comparisons.csv"}
    of_layer = ["ranking/{criterion}.csv", "verification.csv"]
    of_layer += [f"activations/test/{name}" for name in ("channels.csv", "mean_maps.npy")]
    return [*sorted(data), "seed{seed}/training.csv", *(f"seed{{seed}}/{LAYER}/{name}" for name in of_layer)]


wildcard_constraints:
    # A study has one data set; asking for another one's files needs that one's config.
    dataset=DATASET,
    study=f"{STUDY}|{DATASET}|{DATASET}/partial",
    seed=r"\d+",
    split="|".join(SPLITS),
    layer="|".join(LAYERS),
    point="conv|bn|relu|pool",
    proof="(_sensitivity)?",
    criterion="|".join([*criteria.allowed(), r"random-\d+"]),
    removal="|".join(REMOVAL_NAMES),
    ks="|".join([r"\d+", *{name for several in PACKS.values() for name in several if "-" in name}]),
