"""Rank one network's channels by one criterion."""

import argparse
from pathlib import Path

from prunecurve import criteria
from prunecurve.commandline import log, parser, run
from prunecurve.cost import layer_names
from prunecurve.files import load_arrays, read_columns, read_rows, write_rows
from prunecurve.seeding import stream


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--criterion", required=True)
    made.add_argument("--channels", type=Path, required=True, help="statistics of the channels on the ranking split")
    made.add_argument("--weights", type=Path, required=True, help="the network's weights")
    made.add_argument("--seed", type=int, required=True)
    made.add_argument("--output", type=Path, required=True, help="output: order, channel, score")
    return made


def work(arguments: argparse.Namespace) -> None:
    weights = load_arrays(arguments.weights)
    names = list(read_rows(arguments.channels)[0])
    layer = criteria.Layer(
        filters=weights[f"{layer_names(weights, 'conv')[-1]}.weight"],
        statistics=dict(zip(names, read_columns(arguments.channels, *names))),
        random=stream(arguments.seed, f"ranking/{arguments.criterion}"),
    )
    scores = criteria.scores(arguments.criterion, layer)
    ties = len(scores) - len(set(scores.tolist()))
    log.info("%s: %d channels, %d of them tied with another's score", arguments.criterion, len(scores), ties)
    order = criteria.ranking(scores)
    rows = [{"order": place, "channel": channel, "score": scores[channel]} for place, channel in enumerate(order)]
    write_rows(arguments.output, rows)


if __name__ == "__main__":
    run(work, options().parse_args())
