"""Verify the sweep of one seed: remove channels from the torch network, run it from the images, compare the results."""

import argparse
from pathlib import Path

from prunecurve.commandline import log, parser, run
from prunecurve.data import tasks
from prunecurve.data.batches import Normalisation, Split
from prunecurve.files import load_array, read_order, write_rows
from prunecurve.model.model_file import add_model, model_file
from prunecurve.model.network_file import load_network, prepare_torch
from prunecurve.settings import add_fields, fields_of
from prunecurve.sweep.evaluation import Evaluator
from prunecurve.sweep.inputs import BATCH, input_files_of
from prunecurve.verification import METHODS, PERTURBATION, SURGERY
from prunecurve.verification.perturbation import Perturbation
from prunecurve.verification.sweep_check import require_all_agree, require_means, unproven, verify


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    add_model(cli)
    cli.add_argument("--images", type=Path, required=True, help="images of the test split")
    cli.add_argument("--inputs", type=Path, required=True, help="the images of each input of the test split")
    cli.add_argument("--labels", type=Path, required=True, help="labels of the test split")
    add_fields(cli, Normalisation)
    cli.add_argument("--batch-size", type=int, default=BATCH, help="inputs per forward pass of the sweep in torch")
    cli.add_argument(
        "--features", type=Path, required=True, help="maps of the test split, as the next layers read them"
    )
    cli.add_argument("--layer", type=Path, required=True, help="the pruned layer, a file of describe_layer")
    cli.add_argument("--mean-features", type=Path, nargs="?", help="mean maps, for mean_replacement")
    for name in ("images", "inputs", "labels"):
        cli.add_argument(f"--val-{name}", type=Path, nargs="?", help=f"{name} of the validation split, for mean maps")
    cli.add_argument("--ranking", required=True, help="path of a ranking, with placeholders {study}, {criterion}")
    cli.add_argument("--rows", required=True, help="path of rows, with {study}, {criterion}, {removal} and {ks}")
    cli.add_argument("--study", default="", help="value of {study}")
    cli.add_argument("--criteria", nargs="+", required=True, help="names of the rankings, values of {criterion}")
    cli.add_argument("--removals", nargs="+", required=True, help="kinds of removal, values of {removal}")
    cli.add_argument("--ks", nargs="+", required=True, metavar="K,K,…", help="for each ranking, the K to check")
    cli.add_argument(
        "--k-batches", nargs="+", required=True, metavar="KS,KS,…", help="for each of these K, the value of {ks}"
    )
    cli.add_argument(
        "--task", choices=tasks.names(), default=tasks.DEFAULT, help="the task, whose metrics are compared"
    )
    cli.add_argument("--verified-by", choices=METHODS, default=SURGERY, help="how channels are removed")
    cli.add_argument("--tolerance", type=float, default=1e-4, help="largest allowed difference between logits")
    cli.add_argument("--threads", type=int, default=1, help="number of torch threads")
    cli.add_argument("--output", type=Path, required=True, help="output: one row per comparison, if all agree")
    return cli


def work(arguments: argparse.Namespace) -> None:
    # Always on the CPU. If a GPU computed the features, this also compares two devices.
    prepare_torch("cpu", arguments.threads)
    model = load_network(model_file(arguments)).module
    files = arguments.features, arguments.labels, arguments.layer, arguments.mean_features
    inputs = input_files_of(arguments, arguments.labels)
    evaluator = Evaluator(*files, model=model_file(arguments), threads=arguments.threads, inputs=inputs)
    normalisation = fields_of(Normalisation, arguments)

    def split_of(*paths: Path) -> Split:
        return Split.of(*map(load_array, paths), "cpu", normalisation)

    split, perturbation = split_of(arguments.images, arguments.inputs, arguments.labels), None
    if arguments.verified_by == PERTURBATION:
        perturbation = Perturbation(model, evaluator.layer.name, next(split.batches(1))[0])
    if arguments.mean_features:
        validation = split_of(arguments.val_images, arguments.val_inputs, arguments.val_labels)
        about = str(arguments.mean_features), perturbation
        require_means(model, evaluator.layer.name, validation, evaluator.mean_features, *about)
    files_of_rankings = {c: arguments.ranking.format(study=arguments.study, criterion=c) for c in arguments.criteria}
    orders = {criterion: read_order(path, evaluator.channels) for criterion, path in files_of_rankings.items()}
    paths = {
        (criterion, removal, int(k)): arguments.rows.format(
            study=arguments.study, criterion=criterion, removal=removal, ks=batch
        )
        for criterion, ks, k_batches in zip(arguments.criteria, arguments.ks, arguments.k_batches, strict=True)
        for removal in arguments.removals
        for k, batch in zip(ks.split(","), k_batches.split(","), strict=True)
    }
    rows = list(verify(model, split, evaluator, orders, paths, arguments.tolerance, arguments.task, perturbation))
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
