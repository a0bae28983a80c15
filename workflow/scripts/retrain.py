"""Remove the first K channels of a ranking, retrain the smaller network, and evaluate it; or train one from scratch."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import nn

from prunecurve.arrays import load_array
from prunecurve.commandline import add_section, parser, run
from prunecurve.data import tasks
from prunecurve.data.batches import Split, add_splits, all_logits
from prunecurve.model.model_file import ModelFile
from prunecurve.model.network_file import built, load_network, prepare_torch
from prunecurve.model.parameters import Network
from prunecurve.repair.networks import Repairs
from prunecurve.repair.retraining import SAME_COMPUTE, Retraining, same_compute
from prunecurve.seeding import stream_seed
from prunecurve.tables import read_order, read_rows, write_rows
from prunecurve.training.parameters import Recipe
from prunecurve.verification.surgery import parameters_and_macs, structural


def options() -> argparse.ArgumentParser:
    shared = "--dataset", "--seed", "--layer", "--criterion", "--batch-size", "--device", "--threads"
    cli = parser(__doc__, *shared)
    add_splits(cli, train="training", val="validation", split="evaluated")
    cli.add_argument("--model", nargs="?", help="the trained network; without it, a new one is trained")
    add_section(cli, "--network", Network, "the config section network")
    add_section(cli, "--training", Recipe, "the config section training")
    cli.add_argument("--ranking", nargs="?", help="the ranking, a CSV file; of a new network, any channels are removed")
    cli.add_argument("--k", type=int, required=True, help="number of removed channels")
    cli.add_argument("--start", required=True, help="value of the column start: none, refit_bias or scratch")
    files = (
        "the training images, and inputs.npy, labels.npy and shares.npy of calibrate: with them, a repair comes first"
    )
    cli.add_argument("--calibration", nargs="*", default=[], metavar="FILE", help=files)
    budgets = f"numbers of epochs, each a training of its own; {SAME_COMPUTE}: the compute of the unpruned network"
    cli.add_argument("--epochs", nargs="+", required=True, metavar="EPOCHS", help=budgets)
    cli.add_argument("--learning-rates", type=float, nargs="*", default=[], help="peak learning rates")
    cli.add_argument("--chosen", nargs="?", help="a file of choose_learning_rates, instead of learning rates")
    tasks.add_task(cli)
    cli.add_argument(
        "--output", type=Path, required=True, help="output: one row per learning rate and number of epochs"
    )
    return cli


def unpruned(arguments: argparse.Namespace, training: Split) -> nn.Module:
    """Return the trained network, or a new one."""
    network = arguments.network
    if not arguments.model:
        return built(network, training.numbers, stream_seed(arguments.seed, "recovery/initialisation"), trained=True)
    file = ModelFile(arguments.model, network.factory, network.arguments, tuple(network.leaf_modules))
    return load_network(file)[0]


def smaller(arguments: argparse.Namespace, model: nn.Module, training: Split, removed: np.ndarray) -> nn.Module:
    """Return the network without these channels of the layer, repaired if there are calibration inputs."""
    channels = {arguments.layer: np.sort(removed)}
    if not arguments.calibration:
        return structural(model, channels, next(training.batches(1))[0])
    *files, shares = arguments.calibration
    calibration = Split.read(files, training.labels.device, arguments.preprocess)
    return Repairs(model, calibration, load_array(shares)).smaller(channels, arguments.start, all_behind=False)


def rows(arguments: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Yield one row per learning rate and number of epochs."""
    device = prepare_torch(arguments.device, arguments.threads)
    files = arguments.train, arguments.val, arguments.split
    training, validation, evaluated = (Split.read(each, device, arguments.preprocess) for each in files)
    model, recipe = unpruned(arguments, training).to(device), arguments.training
    channels, example = len(model.get_submodule(arguments.layer).weight), next(training.batches(1))[0]
    order = read_order(arguments.ranking, channels) if arguments.ranking else np.arange(channels)
    small = smaller(arguments, model, training, order[: arguments.k])
    size, whole = (parameters_and_macs(each, example) for each in (small, model))
    budgets = [
        same_compute(recipe.epochs, size["macs"], whole["macs"]) if word == SAME_COMPUTE else float(word)
        for word in arguments.epochs
    ]
    rates = arguments.learning_rates or [
        float(row["learning_rate"])
        for row in read_rows(arguments.chosen, sealed=None)
        if row["start"] == arguments.start and int(row["chosen"])
    ]
    measure, labels = tasks.metrics_of(arguments.task).measure, evaluated.labels.cpu().numpy()
    splits = training, validation, arguments.seed, device, tasks.inputs_of(arguments.task)
    name = f", {arguments.criterion}, K {arguments.k}, {arguments.start}"
    identity = {column: getattr(arguments, column) for column in ("dataset", "seed", "layer", "criterion", "k")}
    identity |= {"channels_left": channels - arguments.k}
    for rate in rates:
        networks = Retraining(recipe, *splits).networks(small, budgets, rate, name)
        for word, (epochs, trained) in zip(arguments.epochs, networks):
            start = f"{arguments.start}_{SAME_COMPUTE}" if word == SAME_COMPUTE else arguments.start
            trained_with = {"start": start, "epochs": epochs, "learning_rate": rate if epochs else ""}
            yield identity | trained_with | measure(all_logits(trained, evaluated, arguments.batch_size), labels) | size


def work(arguments: argparse.Namespace) -> None:
    write_rows(arguments.output, list(rows(arguments)))


if __name__ == "__main__":
    run(work, options().parse_args(), chatty=True)
