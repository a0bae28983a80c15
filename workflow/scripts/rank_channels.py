"""Rank one network's channels by one criterion."""

import argparse
import os
from pathlib import Path

# numpy's BLAS has one thread; --threads divides the pairs, so that their number changes no sum.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

from prunecurve import criteria
from prunecurve.commandline import log, parser, run
from prunecurve.cost import layer_names
from prunecurve.files import load_array, load_arrays, read_columns, read_rows, write_rows
from prunecurve.seeding import stream


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--criterion", required=True)
    made.add_argument("--channels", type=Path, required=True, help="statistics of the channels on the ranking split")
    made.add_argument("--weights", type=Path, required=True, help="the network's weights")
    made.add_argument(
        "--features", nargs="?", help="pooled maps of the validation pairs, if the criterion reads labels"
    )
    made.add_argument("--pairs", nargs="?", help="the validation pairs, likewise")
    made.add_argument("--threads", type=int, default=1)
    made.add_argument("--seed", type=int, required=True)
    made.add_argument("--output", type=Path, required=True, help="output: order, channel, score")
    return made


def examples(arguments: argparse.Namespace, weights: dict) -> criteria.Examples | None:
    """The validation pairs, if the criterion gets them."""
    if arguments.features is None or arguments.pairs is None:
        return None
    features = load_array(arguments.features, shape=(None, None, None, None), mapped=True)
    labels = load_array(arguments.pairs, shape=(len(features), 3))[:, 2]
    return criteria.Examples(features, labels, weights, arguments.threads)


def work(arguments: argparse.Namespace) -> None:
    weights = load_arrays(arguments.weights)
    names = list(read_rows(arguments.channels)[0])
    layer = criteria.Layer(
        filters=weights[f"{layer_names(weights, 'conv')[-1]}.weight"],
        statistics=dict(zip(names, read_columns(arguments.channels, *names))),
        random=stream(arguments.seed, f"ranking/{arguments.criterion}"),
        examples=examples(arguments, weights),
    )
    scores = criteria.scores(arguments.criterion, layer)
    ties = len(scores) - len(set(scores.tolist()))
    log.info("%s: %d channels, %d of them tied with another's score", arguments.criterion, len(scores), ties)
    order = criteria.ranking(scores)
    rows = [{"order": place, "channel": channel, "score": scores[channel]} for place, channel in enumerate(order)]
    write_rows(arguments.output, rows)


if __name__ == "__main__":
    run(work, options().parse_args())
