# What the targets of the Snakefile ask for.


def tables(folder):
    """Return the tables of a study's folder: the curve and the statistics over networks."""
    made_by = rules.aggregate, rules.summarise, rules.compare_networks, rules.explain_shape
    return [file for rule in made_by for file in expand(rule.output, study=folder)]


def verifications(layers, target=""):
    """Return the verification tables of all networks."""
    return expand(rules.verify_surgery.output, study=study.name, seed=study.seeds, layer=layers, target=target)


def study_figures(folder):
    """Return the figures that show all networks of a study's folder together."""
    return expand(rules.plot.output, study=folder, figure=study.study_figures(seeds_in(folder)))


def all_figures():
    """Return the figures of all networks together and those of single networks."""
    shown = {"study": study.drawn, "seed": study.seeds_of_maps(), "layer": study.layer, "figure": NETWORK_FIGURES}
    return study_figures(study.drawn) + expand(rules.plot_network.output, **shown)


def archived():
    """Return the files of the archive as patterns relative to the study's folder."""
    return archived_files(study, lambda name: os.path.exists(placed(f"results/{study.name}/{name}")))


def archive_of_study():
    """Return the manifest of the archive named after the study.

    Raises StudyError if this would replace the archive of another study or one that is committed to git.
    """
    archive.require_replaceable(Path(placed(f"archive/{study.name}")), archived_config(study))
    return f"archive/{study.name}/{archive.MANIFEST}"
