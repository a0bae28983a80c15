"""What the archive of a study contains."""

from collections.abc import Callable, Iterable
from typing import Any

from prunecurve.config.settings import resolved
from prunecurve.data.datasets import MODULES
from prunecurve.study.study import STUDY_FIGURES, TABLES_OF_TARGETS, Study


def archived_files(study: Study, exists: Callable[[str], bool]) -> list[str]:
    """Return the files of an archive as patterns relative to the study's folder.

    exists: returns whether the study has a table; those of the targets are archived if it has.
    """
    tables = {*STUDY_FIGURES.values(), "curve.csv", "summary.csv", "shape_table.csv"}
    # This table is large and is computed from the curve within a second.
    tables -= {"curve_mean.csv", *(name for name in TABLES_OF_TARGETS if not exists(name))}
    tables |= {"plan_layers.csv"} if "plan.csv" in tables else set()
    tables -= set() if study.has_comparisons(study.seeds) else {"comparisons.csv"}
    tables |= {"shared_images.csv"} if len(study.seeds) > 1 else set()
    tables |= {"class_recall.csv"} if study.metrics.CLASS_COUNTS else set()
    of_layer = ("ranking/{criterion}.csv", "verification.csv", "activations/test/channels.csv")
    files = [f"seed{{seed}}/{study.layer}/{name}" for name in (*of_layer, "activations/test/mean_maps.npy")]
    return [*sorted(tables), "seed{seed}/training.csv", *files]


def archived_config(study: Study) -> dict[str, Any]:
    """Return the config that an archive stores: without run options and `data_dir`, valid on one machine."""
    config = {key: value for key, value in study.config.items() if key not in ("data_dir", "archive", "overwrite")}
    if not study.built_in:
        # An archive does not contain the table of the layers.
        known = resolved(study.config, study.layers)
        config |= {"layer": known["layer"], "sweep": {**config["sweep"], "ks": known["sweep.ks"]}}
    return config


def archived_code(study: Study, scripts: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the script and the modules of every digest of code that a frozen result may carry.

    scripts: the names of all scripts.
    """
    inputs, metrics = (f"data.tasks.{study.config['task']}.{module}" for module in ("inputs", "metrics"))
    of_task: list[tuple[str, ...]] = [(), (inputs,), (metrics,), (inputs, metrics)]
    codes = [(name, *modules) for name in scripts for modules in of_task]
    codes += [("get_images", f"data.datasets.{MODULES[study.config['dataset']]}")]
    ranked_by = [*study.rankings, *study.sensitivity_rankings, study.config["plan"]["criterion"]]
    # The tables of the targets `sensitivity` and `plan` contain evaluations of other layers.
    for layer in dict.fromkeys([study.layer, *study.sensitivity_layers, *study.plan_layers]):
        modules = [study.modules_of_evaluation(layer, variant) for variant in ("structural", "structural+refit")]
        codes += [(name, *each) for name in ("eval_pruned", "verify_surgery") for each in modules]
        codes += [("rank_channels", *study.modules(ranking, layer)) for ranking in ranked_by]
    return list(dict.fromkeys(codes))
