"""Train the network of one seed and write the weights of its best validation epoch, or take those of a file."""

import argparse
import time
from pathlib import Path

import torch
from torch import nn

from prunecurve.commandline import add_section, add_split, parser, run
from prunecurve.data import tasks
from prunecurve.data.batches import Normalisation, Split, all_logits
from prunecurve.model.model_file import ModelFile
from prunecurve.model.network_file import built, initial_seed, input_shape_of, prepare_torch, save_model
from prunecurve.model.parameters import Network
from prunecurve.model.untrained import network_options
from prunecurve.model.user_network import require_finite, require_logits
from prunecurve.model.users_weights import load_weights
from prunecurve.tables import write_rows
from prunecurve.training.learned import history_row, kept_epoch, require_learned, validation_scores
from prunecurve.training.parameters import Training
from prunecurve.training.training import train


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    add_split(cli, "--train", "training")
    add_split(cli, "--val", "validation")
    add_section(cli, "--preprocess", Normalisation, "the config section preprocess")
    add_section(cli, "--network", Network, "the config section network; without factory, the built-in network")
    cli.add_argument("--weights", nargs="?", help="the file with the state dict of a user's network; trains nothing")
    add_section(cli, "--training", Training, "the config section training")
    cli.add_argument("--task", choices=tasks.names(), default=tasks.DEFAULT, help="what an input and its label are")
    cli.add_argument("--device", default="auto", help="auto, cpu or cuda")
    cli.add_argument("--threads", type=int, default=1, help="number of torch threads")
    cli.add_argument("--seed", type=int, required=True, help="seed of the study")
    cli.add_argument("--model", type=Path, required=True, help="output: the state dict and the architecture")
    cli.add_argument("--history", type=Path, required=True, help="output: a CSV file with one row per epoch")
    return cli


def given_weights(
    users: ModelFile, weights: str, numbers: dict[str, int], validation: Split, seed: int, recalls: dict[str, int]
) -> tuple[nn.Module, list[dict[str, object]]]:
    """Return a user's network with the weights of a file, and the one row of its history.

    recalls: the classes whose recall the row contains, by the name of the column.
    """
    started, shape = time.monotonic(), input_shape_of(numbers)
    model = built(users, numbers, initial_seed(seed))
    load_weights(model, weights)
    require_logits(model, shape, numbers["classes"], trained=False)
    device = validation.labels.device
    logits = all_logits(model.to(device, memory_format=torch.channels_last), validation)
    require_finite(logits, "network.weights: the network")
    scores = validation_scores(logits, validation.labels.cpu().numpy())
    # No epoch and no loss of training: their columns are empty.
    return model, [history_row(0, "", scores, recalls, "", time.monotonic() - started) | {"kept": 1}]


def work(arguments: argparse.Namespace) -> None:
    device = prepare_torch(arguments.device, arguments.threads)
    training, validation = (Split.read(s, device, arguments.preprocess) for s in (arguments.train, arguments.val))
    numbers, task, recipe = training.numbers, tasks.load(arguments.task), arguments.training
    network = network_options(arguments.network, numbers)
    if arguments.weights:
        model, rows = given_weights(network, arguments.weights, numbers, validation, arguments.seed, task.RECALLS)
        remedy = f"Use different weights (network.weights: {arguments.weights}) or a different preprocess"
    else:
        model, rows = train(network, recipe, training, validation, arguments.seed, device, task.RECALLS)
        keys = ("epochs", "learning_rate", *(["same_weight"] if task.RECALLS else []))
        values = ", ".join(f"training.{key}: {getattr(recipe, key)}" for key in keys)
        remedy = f"Change the recipe ({values}) or use more images (images)"
    require_learned(kept_epoch(rows), recipe.require, task.INPUTS, arguments.seed, remedy)
    save_model(arguments.model, model, numbers, initial_seed(arguments.seed))
    write_rows(arguments.history, rows)


if __name__ == "__main__":
    run(work, options().parse_args(), chatty=True)
