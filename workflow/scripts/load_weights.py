"""Give the network of one seed the weights of a file, and evaluate it on the validation split. Nothing is trained."""

import argparse
import time
from pathlib import Path

import torch

from prunecurve.commandline import parser, run
from prunecurve.data.batches import Normalisation, Split, all_logits
from prunecurve.files import load_array, write_rows
from prunecurve.model.model_file import add_factory, model_file
from prunecurve.model.network_file import initial_seed, input_shape_of, prepare_torch, save_model
from prunecurve.model.user_network import build, require_finite, require_logits
from prunecurve.model.users_weights import load_weights
from prunecurve.settings import add_fields, fields_of
from prunecurve.training.learned import history_row, named_recall, require_learned, validation_scores


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument("--val-images", type=Path, required=True, help="images of the validation split")
    cli.add_argument("--val-inputs", type=Path, required=True, help="the images of each input of the validation split")
    cli.add_argument("--val-labels", type=Path, required=True, help="labels of the validation split")
    cli.add_argument("--train-labels", type=Path, required=True, help="labels of the training split, with all classes")
    add_fields(cli, Normalisation)
    add_factory(cli)
    cli.add_argument("--weights", required=True, help="the file with the state dict")
    cli.add_argument("--require", type=float, default=0.0, help="least balanced accuracy for two classes")
    cli.add_argument("--recalls", nargs="*", default=[], metavar="NAME=CLASS", help="recalls in the history")
    cli.add_argument("--input-name", default="inputs", help="what the inputs are called in messages")
    cli.add_argument("--device", default="auto", help="auto, cpu or cuda")
    cli.add_argument("--threads", type=int, default=1, help="number of torch threads")
    cli.add_argument("--seed", type=int, required=True, help="seed of the study")
    cli.add_argument("--model", required=True, help="output: the state dict")
    cli.add_argument("--history", type=Path, required=True, help="output: a CSV file with one row")
    return cli


def work(arguments: argparse.Namespace) -> None:
    device, started = prepare_torch(arguments.device, arguments.threads), time.monotonic()
    arrays = [load_array(path) for path in (arguments.val_images, arguments.val_inputs, arguments.val_labels)]
    validation = Split.of(*arrays, device, fields_of(Normalisation, arguments))
    numbers = validation.numbers | {"classes": int(load_array(arguments.train_labels).max()) + 1}
    users, seed, shape = model_file(arguments), initial_seed(arguments.seed), input_shape_of(numbers)
    model = build(users.factory, users.arguments, shape, seed)
    load_weights(model, arguments.weights)
    require_logits(model, shape, numbers["classes"], trained=False)
    logits = all_logits(model.to(device, memory_format=torch.channels_last), validation)
    require_finite(logits, "network.weights: the network")
    scores = validation_scores(logits, arrays[2])
    recalls = dict(map(named_recall, arguments.recalls))
    # No epoch and no loss of training: their columns are empty.
    row = history_row(0, "", scores, recalls, "", time.monotonic() - started) | {"kept": 1}
    remedy = f"Use other weights (network.weights: {arguments.weights}) or another preprocess"
    require_learned(row, arguments.require, arguments.input_name, arguments.seed, remedy)
    save_model(arguments.model, model, numbers, seed)
    write_rows(arguments.history, [row])


if __name__ == "__main__":
    run(work, options().parse_args(), chatty=True)
