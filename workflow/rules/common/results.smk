# The results of a study, for the targets of the Snakefile: tables, figures, verification and archive.

NETWORK_FIGURES = figures.of("network")
# Figures are grouped in folders that are named after the table that they show.
STUDY_FIGURES = {
    name: f"{folder}.csv" for folder in figures.folders() for name in figures.of(folder) if folder != "network"
}


# In a run, only the targets `sensitivity` and `plan` create these tables. An archive may contain them.
OF_TARGETS = ("sensitivity.csv", "plan.csv")


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
    known = {"study": STUDY, "seed": seed, "layer": studied_layer()}
    sources = [
        *rules.make_pairs.output,
        MODEL,
        HISTORY,
        *expand(rules.collect_activations.output, split="test", **known),
    ]
    rankings = expand(RANKING, criterion=ORDERS, **known)
    return expand(sources, **known) + rankings + rows([seed], ORDERS, REMOVALS, known["layer"])


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
    without |= {name for name in OF_TARGETS if not (ARCHIVE and archive.held(ARCHIVE, MANIFEST, name))}
    return expand(
        rules.plot.output, study=study, figure=[f for f, data in STUDY_FIGURES.items() if data not in without]
    )


def all_figures(study):
    """Return the figures of all networks together and those of single networks."""
    count = config["figures"]["maps_seeds"]
    seeds = SEEDS if count == "all" else SEEDS[:count]
    of_one = expand(rules.plot_network.output, study=study, figure=NETWORK_FIGURES, seed=seeds, layer=studied_layer())
    return study_figures(study) + of_one


def verifications():
    """Return the verification tables of all networks."""
    return expand(rules.verify_surgery.output, study=STUDY, seed=SEEDS, layer=studied_layer(), target="")


def everything():
    """Return all results of a study; for an archive, only its figures and summary."""
    if ARCHIVE:
        return [*all_figures(DRAWN), *expand(rules.summarise.output, study=DRAWN)]
    return [*tables(STUDY), *verifications(), *all_figures(STUDY)]


def networks_at_once():
    """Return the networks with `--until train`, so that the first plan has its jobs; otherwise no files."""
    return expand(MODEL, study=STUDY, seed=SEEDS) if last_rules() & OF_TRAINING and not ARCHIVE else []


def archived():
    """Return the files of an archive as patterns relative to the study's folder."""
    data = {*STUDY_FIGURES.values(), "curve.csv", "summary.csv", "shape_table.csv"}
    # This table is large and is computed from the curve within a second.
    data -= {"curve_mean.csv"}
    data -= {name for name in OF_TARGETS if not os.path.exists(placed(f"results/{STUDY}/{name}"))}
    data |= {"plan_layers.csv"} if "plan.csv" in data else set()
    data -= set() if has_comparisons(STUDY) else {"comparisons.csv"}
    data |= {"shared_images.csv"} if len(SEEDS) > 1 else set()
    data |= {"class_recall.csv"} if TASK.CLASS_COUNTS else set()
    of_layer = ["ranking/{criterion}.csv", "verification.csv"]
    of_layer += [f"activations/test/{name}" for name in ("channels.csv", "mean_maps.npy")]
    return [*sorted(data), "seed{seed}/training.csv", *(f"seed{{seed}}/{studied_layer()}/{name}" for name in of_layer)]


def frozen_config():
    """Return the config that an archive stores: without `data_dir`, which is valid on one machine only, and run options."""
    frozen = {key: value for key, value in config.items() if key not in ("data_dir", "archive", "overwrite")}
    if not BUILT_IN:
        # An archive does not contain the table of the layers.
        known = resolved(config, plan())
        frozen |= {"layer": known["layer"], "sweep": {**config["sweep"], "ks": known["sweep.ks"]}}
    return frozen


def code_lines():
    """Return the settings for the code of all scripts and of the study's criteria."""
    orders_of_all = [*ORDERS, *SENSITIVITY_ORDERS, config["plan"]["criterion"]]
    used = sorted({criterion_of(order).removeprefix(REVERSED) for order in orders_of_all})
    lines = [code(path.stem) for path in sorted(SCRIPTS.glob("*.py"))]
    lines += [code(path.stem, OF_TASK) for path in sorted(SCRIPTS.glob("*.py"))]
    lines += CODE_OF_NETWORK
    lines += [code("get_images", READER)]
    # The tables of the targets `sensitivity` and `plan` contain evaluations of other layers.
    for path in dict.fromkeys([studied_layer(), *studied_layers(), *planned_layers()]):
        lines += [code(name, OF_TASK, *backends(path)) for name in ("eval_pruned", "verify_surgery")]
        lines += [code("rank_channels", *modules_of(name, path)) for name in used]
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
