"""Rank the channels of one network by one criterion."""

import argparse
import importlib
from pathlib import Path

import numpy as np

from prunecurve.arrays import load_array
from prunecurve.commandline import log, parser, run
from prunecurve.graph.layer_file import load_layer
from prunecurve.model.model_file import add_model, model_file
from prunecurve.naming import REVERSED
from prunecurve.ranking import criteria
from prunecurve.ranking.validation_set import ValidationSet
from prunecurve.seeding import stream
from prunecurve.sweep.evaluation import Evaluator
from prunecurve.sweep.inputs import add_evaluated_split, input_files
from prunecurve.tables import read_columns, read_rows, write_rows


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__, "--seed", "--threads")
    cli.add_argument("--criterion", required=True, help="also random-1, … (draws of random), and reversed-NAME")
    cli.add_argument("--layer", type=Path, required=True, help="the pruned layer, a file of describe_layer")
    cli.add_argument("--point", default="relu", help="where activations are measured")
    cli.add_argument("--channels", nargs="?", help="statistics of the channels, if the criterion reads statistics")
    cli.add_argument("--maps", nargs="?", help="single maps at --point, if the criterion reads maps")
    cli.add_argument("--features", nargs="?", help="maps of the validation pairs, if the criterion reads labels")
    cli.add_argument("--mean-features", nargs="?", help="what the next layers read, the mean over the validation pairs")
    cli.add_argument("--readers", nargs="?", help="the layers that read the channels, if the criterion reads them")
    add_model(cli, required=False, help="the network, if more than linear layers follow and labels are read")
    add_evaluated_split(cli, required=False)
    cli.add_argument("--parameters", nargs="*", default=[], metavar="KEY=NUMBER", help="parameters of the criterion")
    cli.add_argument("--output", type=Path, required=True, help="output: a CSV file with order, channel and score")
    return cli


def statistics(path: str) -> dict:
    """Read the channel statistics as arrays by column name."""
    names = list(read_rows(path)[0])
    return dict(zip(names, read_columns(path, *names)))


def validation(arguments: argparse.Namespace) -> ValidationSet | None:
    """Read the validation pairs; None if the options name no files for them."""
    if arguments.features is None or not arguments.split:
        return None
    files, inputs = (arguments.features, arguments.split[-1], arguments.layer), input_files(arguments)
    read = Evaluator(*files, model=model_file(arguments), threads=arguments.threads, inputs=inputs)
    return ValidationSet(read.features, read.labels, read.layer, read.backend, arguments.threads)


def readers(path: str) -> list:
    """Read the layers that read the channels. Imported by name: other criteria need neither the module nor scipy."""
    return importlib.import_module("prunecurve.sweep.repair").load_readers(path)


def work(arguments: argparse.Namespace) -> None:
    layer, name = load_layer(arguments.layer), arguments.criterion.removeprefix(REVERSED)
    means, shape = arguments.mean_features, layer.zero_filter.shape
    result = criteria.scores(
        name,
        criteria.Layer(
            filters=layer.filters,
            scale=layer.scale,
            signed=layer.signed,
            random=stream(arguments.seed, f"ranking/{name}"),
            point=arguments.point,
            statistics=statistics(arguments.channels) if arguments.channels else None,
            maps=load_array(arguments.maps, shape=(None,) * 4, mapped=True) if arguments.maps else None,
            validation=validation(arguments),
            mean_features=load_array(means, shape=shape) if means else None,
            readers=readers(arguments.readers) if arguments.readers else None,
            parameters={key: float(number) for key, number in (word.split("=") for word in arguments.parameters)},
        ),
    )
    columns = result._asdict() if isinstance(result, criteria.Estimate) else {"scores": result}
    scores = columns.pop("scores")
    counts = np.unique(scores, return_counts=True)[1]
    ties = counts[counts > 1].sum()
    log.info("%s: %d of %d channels have the same score as another channel", name, ties, len(scores))
    order = criteria.ranking(scores)
    if arguments.criterion != name:
        # Not the order of the negative scores, which would break ties in the same direction.
        order, scores = order[::-1], -scores
    rows = [
        {"order": place, "channel": channel, "score": scores[channel]}
        | {column: values[channel] for column, values in columns.items()}
        for place, channel in enumerate(order)
    ]
    write_rows(arguments.output, rows)


if __name__ == "__main__":
    run(work, options().parse_args())
