"""Prove one seed's sweep: operate on the torch network, run it from the images, compare with the sweep's rows."""

import argparse
import os
from pathlib import Path

# numpy's BLAS as in eval_pruned.py, whose logits are recomputed here; torch's threads are those of --threads.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

from prunecurve.batches import Split
from prunecurve.commandline import log, parser, run
from prunecurve.cost import block_of
from prunecurve.early import EarlyEvaluator
from prunecurve.files import load_array, read_order, write_rows
from prunecurve.network import load_model, prepare_torch
from prunecurve.sweep import Evaluator, checked_ks
from prunecurve.verification import require_agreement, verify


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--model", type=Path, required=True)
    made.add_argument("--images", type=Path, required=True)
    made.add_argument("--pairs", type=Path, required=True)
    made.add_argument("--features", type=Path, required=True)
    made.add_argument("--weights", type=Path, required=True)
    made.add_argument("--layer", required=True, help="the pruned convolution: conv3")
    made.add_argument("--mean-features", type=Path, nargs="?", help="mean pooled maps, for mean_replacement")
    made.add_argument("--ranking", required=True, help="path of a ranking, with {criterion} in it")
    made.add_argument("--rows", required=True, help="path of rows, with {criterion}, {removal} and {ks} in it")
    made.add_argument("--criteria", nargs="+", required=True)
    made.add_argument("--removals", nargs="+", required=True)
    made.add_argument("--packs", nargs="+", required=True, help="what stands for {ks}, for each K that is checked")
    made.add_argument("--tolerance", type=float, default=1e-4, help="largest difference allowed between logits")
    made.add_argument("--threads", type=int, default=1)
    made.add_argument("--output", type=Path, required=True, help="output: a row a comparison, if all agree")
    return made


def work(arguments: argparse.Namespace) -> None:
    # On the CPU, whatever computed the features: a second device is one more proof.
    prepare_torch("cpu", arguments.threads)
    model = load_model(arguments.model)
    files = arguments.features, arguments.pairs, arguments.weights, arguments.layer, arguments.mean_features
    in_last = block_of(arguments.layer) == model.architecture.blocks
    evaluator = Evaluator(*files) if in_last else EarlyEvaluator(*files, threads=arguments.threads)
    split = Split.of(load_array(arguments.images), load_array(arguments.pairs), "cpu")
    orders = {c: read_order(arguments.ranking.format(criterion=c), evaluator.channels) for c in arguments.criteria}
    paths = {
        (criterion, removal, k): arguments.rows.format(criterion=criterion, removal=removal, ks=pack)
        for criterion in arguments.criteria
        for removal in arguments.removals
        for k, pack in zip(checked_ks(evaluator.channels), arguments.packs, strict=True)
    }
    rows = list(verify(model, split, evaluator, orders, arguments.removals, paths, arguments.tolerance))
    for row in rows:
        log.info("%s", row)
    require_agreement(rows, arguments.tolerance, f"verification of {arguments.model}")
    write_rows(arguments.output, rows, sealed=False)
    worst = max(row["max_logit_difference"] for row in rows)
    log.info("%d comparisons agree; the largest difference of a logit is %.3g", len(rows), worst)


if __name__ == "__main__":
    run(work, options().parse_args())
