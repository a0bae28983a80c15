"""Draw the images of each split for one seed, and make the inputs and labels of the study's task from them."""

import argparse
from pathlib import Path

import numpy as np

from prunecurve.commandline import log, parser, run
from prunecurve.data import tasks
from prunecurve.data.parameters import Images
from prunecurve.data.splits import SPLITS, draw_splits, images_per_split, pools_of, split_sizes
from prunecurve.files import load_array, read_rows, save_array
from prunecurve.seeding import stream
from prunecurve.settings import add_fields


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument("--images", type=Path, required=True, help="all images of the data set")
    cli.add_argument("--labels", type=Path, required=True, help="the classes of the images")
    cli.add_argument("--splits", type=Path, required=True, help="the splits that the data set assigns its images to")
    cli.add_argument("--classes", type=Path, required=True, help="the names of the classes, for error messages")
    cli.add_argument("--dataset", required=True, help="name of the data set, for error messages")
    add_fields(cli, Images, leave_out=("disjoint",))
    cli.add_argument("--task", choices=tasks.names(), default=tasks.DEFAULT, help="what an input and its label are")
    cli.add_argument("--parameters", nargs="*", default=[], metavar="KEY=NUMBER", help="parameters of the task")
    cli.add_argument("--seed", type=int, required=True, help="seed of the study")
    cli.add_argument(
        "--place", type=int, help="place of the seed in the list of seeds, if no two networks may share images"
    )
    cli.add_argument("--folder", type=Path, required=True, help="output: images/, inputs/, labels/, one file per split")
    return cli


def work(arguments: argparse.Namespace) -> None:
    images = load_array(arguments.images, shape=(None, None, None, None), mapped=True)
    classes = load_array(arguments.labels, shape=(len(images),))
    splits = load_array(arguments.splits, shape=(len(images),))
    names = [row["name"] for row in read_rows(arguments.classes)]
    own = images_per_split(splits)
    sizes = split_sizes({split: getattr(arguments, split) for split in SPLITS}, own)
    drawn = draw_splits(splits, sizes, arguments.seed, arguments.place, dataset=arguments.dataset)
    task = tasks.load(arguments.task)
    parameters = {key: int(number) for key, number in (word.split("=") for word in arguments.parameters)}
    for split, pool in pools_of(own).items():
        available = np.bincount(classes[splits == SPLITS.index(pool)], minlength=len(names))
        task.require(split, classes[drawn[split]], available, names, **parameters)
    for split, index in drawn.items():
        rng = stream(arguments.seed, f"{arguments.task}/{split}")
        inputs, labels = task.inputs(classes[index], rng, **parameters)
        counts = np.bincount(labels)
        log.info(
            f"{split}: {len(index)} images, {len(inputs)} {task.INPUTS} of {len(counts)} classes, "
            f"{counts.min()} to {counts.max()} of each class"
        )
        save_array(arguments.folder / "images" / f"{split}.npy", images[index])
        save_array(arguments.folder / "inputs" / f"{split}.npy", inputs)
        save_array(arguments.folder / "labels" / f"{split}.npy", labels)
    numbers = np.repeat(np.arange(len(SPLITS)), [len(drawn[split]) for split in SPLITS])
    index = np.concatenate([drawn[split] for split in SPLITS])
    save_array(arguments.folder / "images" / "index.npy", np.column_stack([numbers, index]).astype(np.int32))


if __name__ == "__main__":
    run(work, options().parse_args())
