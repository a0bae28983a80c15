"""Rank the channels of one network by one criterion."""

import argparse
from pathlib import Path

from prunecurve.commandline import log, parser, run
from prunecurve.files import load_array, read_columns, read_rows, write_rows
from prunecurve.graph.layer_file import LayerFile, load_layer
from prunecurve.model.model_file import add_model, model_file
from prunecurve.ranking import criteria
from prunecurve.ranking.validation_set import ValidationSet
from prunecurve.seeding import stream
from prunecurve.sweep.evaluation import load_features
from prunecurve.sweep.inputs import add_input_files, input_files_of


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument("--criterion", required=True, help="the criterion; random-1, random-2, … are draws of random")
    cli.add_argument("--layer", type=Path, required=True, help="the pruned layer, a file of describe_layer")
    cli.add_argument("--point", default="relu", help="where activations are measured")
    cli.add_argument("--channels", nargs="?", help="statistics of the channels, if the criterion reads statistics")
    cli.add_argument("--maps", nargs="?", help="single maps at --point, if the criterion reads maps")
    cli.add_argument("--features", nargs="?", help="maps of the validation pairs, if the criterion reads labels")
    cli.add_argument("--labels", nargs="?", help="labels of the validation pairs, if the criterion reads labels")
    add_model(cli, required=False, help="the network, if more than linear layers follow and labels are read")
    add_input_files(cli)
    cli.add_argument("--parameters", nargs="*", default=[], metavar="KEY=NUMBER", help="parameters of the criterion")
    cli.add_argument("--threads", type=int, default=1, help="number of threads")
    cli.add_argument("--seed", type=int, required=True, help="seed of the study")
    cli.add_argument("--output", type=Path, required=True, help="output: a CSV file with order, channel and score")
    return cli


def statistics(path: str | None) -> dict:
    """Read the channel statistics as arrays by column name; an empty dictionary if there is no path."""
    names = list(read_rows(path)[0]) if path else []
    return dict(zip(names, read_columns(path, *names))) if path else {}


def validation(arguments: argparse.Namespace, layer: LayerFile) -> ValidationSet | None:
    """Read the validation pairs; None if the options name no files for them."""
    if arguments.features is None or arguments.labels is None:
        return None
    features = load_features(arguments.features, layer)
    labels = load_array(arguments.labels, shape=(len(features),))
    inputs = input_files_of(arguments, arguments.labels)
    return ValidationSet(features, labels, layer, arguments.threads, model_file(arguments), inputs)


def work(arguments: argparse.Namespace) -> None:
    layer = load_layer(arguments.layer)
    result = criteria.scores(
        arguments.criterion,
        criteria.Layer(
            filters=layer.filters,
            scale=layer.scale,
            signed=layer.signed,
            random=stream(arguments.seed, f"ranking/{arguments.criterion}"),
            point=arguments.point,
            statistics=statistics(arguments.channels),
            maps=load_array(arguments.maps, shape=(None,) * 4, mapped=True) if arguments.maps else None,
            validation=validation(arguments, layer),
            parameters={key: float(number) for key, number in (word.split("=") for word in arguments.parameters)},
        ),
    )
    columns = result._asdict() if isinstance(result, criteria.Estimate) else {"scores": result}
    scores = columns.pop("scores")
    ties = criteria.ties(scores)
    log.info("%s: %d of %d channels have the same score as another channel", arguments.criterion, ties, len(scores))
    rows = [
        {"order": place, "channel": channel, "score": scores[channel]}
        | {name: values[channel] for name, values in columns.items()}
        for place, channel in enumerate(criteria.ranking(scores))
    ]
    write_rows(arguments.output, rows)


if __name__ == "__main__":
    run(work, options().parse_args())
