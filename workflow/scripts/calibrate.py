"""Run the network of one seed over some training inputs; write what the repairs of pruned networks are fitted to."""

import argparse
from pathlib import Path

import numpy as np

from prunecurve.arrays import save_array
from prunecurve.commandline import add_section, parser, run
from prunecurve.data.batches import Split, add_splits
from prunecurve.graph.layers import PrunableLayer
from prunecurve.model.model_file import add_model, model_file
from prunecurve.model.network_file import load_network, prepare_torch
from prunecurve.sweep.calibration import calibrate, calibration_inputs
from prunecurve.sweep.parameters import Repair


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__, "--layer", "--batch-size", "--device", "--threads", "--seed")
    add_model(cli)
    add_splits(cli, split="training")
    add_section(cli, "--repair", Repair, "the config section repair")
    cli.add_argument("--stored-mb", type=int, default=4000, help="largest size of the features that is stored, in MB")
    cli.add_argument("--folder", type=Path, required=True, help="output: the inputs, their features, the readers")
    return cli


def work(arguments: argparse.Namespace) -> None:
    device, folder = prepare_torch(arguments.device, arguments.threads), arguments.folder
    model, shape, leaf_modules = load_network(model_file(arguments))
    split = Split.read(arguments.split, device, arguments.preprocess)
    layer = PrunableLayer(model.to(device), arguments.layer, shape, leaf_modules=leaf_modules)
    split, weights = calibration_inputs(split, arguments.repair, arguments.seed)
    most = arguments.stored_mb * 1_000_000, arguments.repair.single_inputs
    calibrate(layer, split, weights, arguments.batch_size, folder, *most)
    save_array(folder / "inputs.npy", split.index.cpu().numpy().astype(np.int32))
    save_array(folder / "labels.npy", split.labels.cpu().numpy())
    save_array(folder / "shares.npy", weights)


if __name__ == "__main__":
    run(work, options().parse_args())
