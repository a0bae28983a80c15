"""Train one seed's pair network; keep the weights of its best validation epoch."""

import argparse
from pathlib import Path

from prunecurve.batches import Split
from prunecurve.commandline import log, parser, run
from prunecurve.files import load_array, write_rows
from prunecurve.network import Architecture, prepare_torch, save_model, save_weights
from prunecurve.settings import add_fields, fields_of
from prunecurve.training import Recipe, train


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--train-images", type=Path, required=True)
    made.add_argument("--train-pairs", type=Path, required=True)
    made.add_argument("--val-images", type=Path, required=True)
    made.add_argument("--val-pairs", type=Path, required=True)
    add_fields(made, Architecture, leave_out=("in_channels", "image_size"))
    add_fields(made, Recipe)
    made.add_argument("--device", default="auto")
    made.add_argument("--threads", type=int, default=1)
    made.add_argument("--seed", type=int, required=True)
    made.add_argument("--model", type=Path, required=True, help="output: the state dict and the architecture")
    made.add_argument("--weights", type=Path, required=True, help="output: the weights as plain arrays")
    made.add_argument("--history", type=Path, required=True, help="output: a row for each epoch")
    return made


def work(arguments: argparse.Namespace) -> None:
    device = prepare_torch(arguments.device, arguments.threads)
    images = {split: load_array(getattr(arguments, f"{split}_images")) for split in ("train", "val")}
    pairs = {split: load_array(getattr(arguments, f"{split}_pairs"), shape=(None, 3)) for split in ("train", "val")}
    _, channels, size, _ = images["train"].shape
    architecture = fields_of(Architecture, arguments, in_channels=2 * channels, image_size=size)
    splits = {split: Split.of(images[split], pairs[split], device) for split in images}
    recipe = fields_of(Recipe, arguments)
    model, rows = train(architecture, recipe, splits["train"], splits["val"], arguments.seed, device)
    best = next(row for row in rows if row["kept"])
    log.info(
        "train seed %d: kept epoch %d, balanced accuracy %.4f",
        arguments.seed,
        best["epoch"],
        best["val_balanced_accuracy"],
    )
    save_model(arguments.model, model)
    save_weights(arguments.weights, model)
    write_rows(arguments.history, rows)


if __name__ == "__main__":
    run(work, options().parse_args(), chatty=True)
