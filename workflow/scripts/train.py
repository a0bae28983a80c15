"""Train the network of one seed and write the weights of its best validation epoch, or take those of a file."""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from prunecurve.commandline import add_section, parser, run
from prunecurve.data import tasks
from prunecurve.data.batches import Split, add_splits, all_logits
from prunecurve.errors import StudyError
from prunecurve.model.network_file import built, prepare_torch, save_model
from prunecurve.model.parameters import Network
from prunecurve.model.user_network import require_finite
from prunecurve.model.users_weights import load_weights
from prunecurve.seeding import stream_seed
from prunecurve.tables import write_rows
from prunecurve.training.learned import kept_epoch, shortfall, validation_columns
from prunecurve.training.parameters import Training
from prunecurve.training.training import train


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__, "--device", "--threads", "--seed")
    add_splits(cli, train="training", val="validation")
    add_section(cli, "--network", Network, "the config section network; without factory, the built-in network")
    cli.add_argument("--weights", nargs="?", help="the file with the state dict of a user's network; trains nothing")
    add_section(cli, "--training", Training, "the config section training")
    tasks.add_task(cli)
    cli.add_argument("--model", type=Path, required=True, help="output: the state dict and the architecture")
    cli.add_argument("--history", type=Path, required=True, help="output: a CSV file with one row per epoch")
    return cli


def row_of_weights(model: nn.Module, validation: Split, recalls: Mapping[str, int]) -> dict[str, object]:
    """Return the one row of the history of a network whose weights come from a file.

    recalls: the classes whose recall the row contains, by the name of the column.
    """
    started, device = time.monotonic(), validation.labels.device
    logits = all_logits(model.to(device, memory_format=torch.channels_last), validation)
    require_finite(logits, "network.weights: the network")
    columns = validation_columns(logits, validation.labels.cpu().numpy(), recalls)
    # No epoch and no loss of training: their columns are empty.
    times = {"learning_rate": "", "seconds": round(time.monotonic() - started, 2)}
    return {"epoch": 0, "train_loss": "", **columns, **times, "kept": 1}


def work(arguments: argparse.Namespace) -> None:
    device, weights, recipe = prepare_torch(arguments.device, arguments.threads), arguments.weights, arguments.training
    training, validation = (Split.read(s, device, arguments.preprocess) for s in (arguments.train, arguments.val))
    task, numbers = tasks.inputs_of(arguments.task), training.numbers
    initial = stream_seed(arguments.seed, "initialisation")
    model = built(arguments.network, numbers, initial, trained=not weights)
    if weights:
        load_weights(model, weights)
        rows = [row_of_weights(model, validation, task.RECALLS)]
        remedy = f"Use different weights (network.weights: {weights}) or a different preprocess"
    else:
        model, rows = train(model, recipe, training, validation, arguments.seed, device, task)
        keys = ("epochs", "learning_rate", *(["same_weight"] if task.RECALLS else []))
        values = ", ".join(f"training.{key}: {getattr(recipe, key)}" for key in keys)
        remedy = f"Change the recipe ({values}) or use more images (images)"
    if lacks := shortfall(kept_epoch(rows), recipe.require, task.INPUTS):
        raise StudyError(
            f"training: the network of seed {arguments.seed} has {lacks}. {remedy}; "
            "training.require: 0 accepts every network"
        )
    save_model(arguments.model, model, numbers, initial)
    write_rows(arguments.history, rows)


if __name__ == "__main__":
    run(work, options().parse_args(), chatty=True)
