"""Rank one network's channels by one criterion."""

import argparse
import os
from pathlib import Path

# numpy's BLAS has one thread; --threads divides the pairs, so that their number changes no sum.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

from prunecurve import criteria
from prunecurve.commandline import log, parser, run
from prunecurve.examples import Examples
from prunecurve.files import load_array, load_arrays, read_columns, read_rows, write_rows
from prunecurve.seeding import stream


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--criterion", required=True, help="random-1, random-2, … are draws of random")
    made.add_argument("--weights", type=Path, required=True, help="the network's weights")
    made.add_argument("--layer", required=True, help="the pruned convolution: conv3")
    made.add_argument("--point", default="relu", help="where in the block activations are measured")
    made.add_argument("--channels", nargs="?", help="statistics of the channels, if the criterion reads them")
    made.add_argument("--maps", nargs="?", help="single maps at the point, likewise")
    made.add_argument(
        "--features", nargs="?", help="pooled maps of the validation pairs, if the criterion reads labels"
    )
    made.add_argument("--pairs", nargs="?", help="the validation pairs, likewise")
    made.add_argument("--knobs", nargs="*", default=[], metavar="KEY=NUMBER", help="the criterion's own")
    made.add_argument("--threads", type=int, default=1)
    made.add_argument("--seed", type=int, required=True)
    made.add_argument("--output", type=Path, required=True, help="output: order, channel, score")
    return made


def statistics(path: str | None) -> dict:
    """The columns of the channels' statistics, if the criterion gets them."""
    names = list(read_rows(path)[0]) if path else []
    return dict(zip(names, read_columns(path, *names))) if path else {}


def examples(arguments: argparse.Namespace, weights: dict) -> Examples | None:
    """The validation pairs, if the criterion gets them."""
    if arguments.features is None or arguments.pairs is None:
        return None
    features = load_array(arguments.features, shape=(None, None, None, None), mapped=True)
    labels = load_array(arguments.pairs, shape=(len(features), 3))[:, 2]
    return Examples(features, labels, weights, arguments.layer, arguments.threads)


def work(arguments: argparse.Namespace) -> None:
    weights, layer = load_arrays(arguments.weights), arguments.layer
    found = criteria.scores(
        arguments.criterion,
        criteria.Layer(
            filters=weights[f"{layer}.weight"],
            scale=weights[f"{layer.replace('conv', 'bn')}.weight"],
            random=stream(arguments.seed, f"ranking/{arguments.criterion}"),
            point=arguments.point,
            statistics=statistics(arguments.channels),
            maps=load_array(arguments.maps, shape=(None, None, None, None)) if arguments.maps else None,
            examples=examples(arguments, weights),
            knobs={key: float(number) for key, number in (word.split("=") for word in arguments.knobs)},
        ),
    )
    columns = found._asdict() if isinstance(found, criteria.Estimate) else {"scores": found}
    scores = columns.pop("scores")
    ties = criteria.ties(scores)
    log.info("%s: %d of %d channels share their score with another", arguments.criterion, ties, len(scores))
    rows = [
        {"order": place, "channel": channel, "score": scores[channel]}
        | {name: values[channel] for name, values in columns.items()}
        for place, channel in enumerate(criteria.ranking(scores))
    ]
    write_rows(arguments.output, rows)


if __name__ == "__main__":
    run(work, options().parse_args())
