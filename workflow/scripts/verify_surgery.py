"""Verify the sweep of one seed: remove channels from the torch network, run it from the images, compare the results."""

import argparse
from functools import partial
from pathlib import Path

from prunecurve.commandline import add_section, add_split, log, parser, run
from prunecurve.data import tasks
from prunecurve.data.batches import Normalisation, Split
from prunecurve.model.model_file import add_model, model_file
from prunecurve.model.network_file import load_network, prepare_torch
from prunecurve.sweep.evaluation import Evaluator
from prunecurve.sweep.inputs import add_calibration, add_evaluated_split, calibration, input_files
from prunecurve.sweep.k_batches import from_words
from prunecurve.sweep.parameters import Repair
from prunecurve.tables import read_order, write_rows
from prunecurve.verification import METHODS, PERTURBATION, SURGERY
from prunecurve.verification.comparison import require_all_agree, require_means, unproven, verify
from prunecurve.verification.perturbation import Perturbation


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__, "--features", "--threads")
    add_model(cli)
    add_evaluated_split(cli)
    add_split(cli, "--val", "validation", required=False)
    add_calibration(cli)
    add_section(cli, "--repair", Repair, "the config section repair")
    cli.add_argument("--layer", type=Path, required=True, help="the pruned layer, a file of describe_layer")
    cli.add_argument("--mean-features", type=Path, nargs="?", help="mean maps, for mean_replacement")
    cli.add_argument("--ranking", required=True, help="path of a ranking, with placeholders {study}, {criterion}")
    cli.add_argument("--rows", required=True, help="path of rows, with {study}, {criterion}, {removal} and {ks}")
    cli.add_argument("--study", default="", help="value of {study}")
    files = "the K to check of each file of rows: its {criterion}, {removal} and {ks}; KS alone is one K"
    cli.add_argument("--checks", nargs="+", required=True, metavar="CRITERION:REMOVAL:KS=K,K,…", help=files)
    tasks.add_task(cli)
    cli.add_argument("--verified-by", choices=METHODS, default=SURGERY, help="how channels are removed")
    cli.add_argument("--tolerance", type=float, default=1e-4, help="largest allowed difference between logits")
    cli.add_argument("--output", type=Path, required=True, help="output: one row per comparison, if all agree")
    return cli


def work(arguments: argparse.Namespace) -> None:
    # Always on the CPU. If a GPU computed the features, this also compares two devices.
    prepare_torch("cpu", arguments.threads)
    model = load_network(model_file(arguments))[0]
    inputs, fitted_to = input_files(arguments), calibration(arguments)
    files = arguments.features, inputs.labels, arguments.layer, arguments.mean_features
    evaluator = Evaluator(*files, model_file(arguments), arguments.threads, inputs, fitted_to)
    layer, preprocess = evaluator.layer, Normalisation.model_validate_json(arguments.preprocess)
    split = Split.read(arguments.split, "cpu", preprocess)
    # Of the sweep's own files, only those of the inputs.
    calibrated = Split.read(fitted_to.inputs[:3], "cpu", preprocess) if fitted_to else None
    example = next(split.batches(1))[0]
    perturbation = Perturbation(model, example) if arguments.verified_by == PERTURBATION else None
    if arguments.mean_features:
        validation, path = Split.read(arguments.val, "cpu", preprocess), str(arguments.mean_features)
        require_means(model, layer.name, validation, evaluator.mean_features, path, perturbation)
    checks = [check.split(":", 2) for check in arguments.checks]
    ranking, rows_of = (partial(path.format, study=arguments.study) for path in (arguments.ranking, arguments.rows))
    orders = {criterion: read_order(ranking(criterion=criterion), layer.channels) for criterion, *_ in checks}
    paths = {
        (criterion, variant, k): rows_of(criterion=criterion, removal=variant, ks=name)
        for criterion, variant, word in checks
        for name, ks in from_words([word]).items()
        for k in ks
    }
    compared = model, split, evaluator, orders, paths, arguments.tolerance, arguments.task, perturbation
    rows = list(verify(*compared, calibrated, arguments.repair.weights, arguments.repair.single_inputs))
    for row in rows:
        log.info("%s", row)
    require_all_agree(rows, f"verification of {arguments.model}")
    for line in unproven(rows):
        log.warning("verification of %s: %s", arguments.model, line)
    write_rows(arguments.output, rows)
    worst = max(row["max_logit_difference"] for row in rows)
    log.info("%d comparisons agree; the largest difference between logits is %.3g", len(rows), worst)


if __name__ == "__main__":
    run(work, options().parse_args())
