"""Draw the images of each split for one seed, and make the inputs and labels of the study's task from them."""

import argparse
from pathlib import Path

import numpy as np

from prunecurve.arrays import load_array, save_array
from prunecurve.commandline import add_section, log, parser, run
from prunecurve.data import tasks
from prunecurve.data.parameters import Images
from prunecurve.data.splits import SPLITS, draw_splits, images_per_split, split_sizes
from prunecurve.seeding import stream
from prunecurve.tables import read_rows


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__, "--dataset", "--seed")
    metavar = ("IMAGES", "LABELS", "SPLITS", "CLASSES")
    cli.add_argument("--source", nargs=4, required=True, metavar=metavar, help="the files of get_images")
    add_section(cli, "--sizes", Images, "the config section images")
    words, names = ("NAME", "KEY=NUMBER"), ", ".join(tasks.names())
    cli.add_argument("--task", nargs="+", default=[tasks.DEFAULT], metavar=words, help=f"{names}; and its parameters")
    cli.add_argument("--place", type=int, help="place of the seed in the list, if no two networks may share images")
    cli.add_argument("--folder", type=Path, required=True, help="output: images/, inputs/, labels/, one file per split")
    return cli


def work(arguments: argparse.Namespace) -> None:
    images, classes, splits, names = arguments.source
    images = load_array(images, shape=(None, None, None, None), mapped=True)
    classes, splits = (load_array(path, shape=(len(images),)) for path in (classes, splits))
    names = [row["name"] for row in read_rows(names)]
    sizes = split_sizes({split: getattr(arguments.sizes, split) for split in SPLITS}, images_per_split(splits))
    drawn = draw_splits(splits, sizes, arguments.seed, arguments.place, dataset=arguments.dataset)
    task_name, *words = arguments.task
    task = tasks.inputs_of(task_name)
    parameters = {key: int(number) for key, number in (word.split("=") for word in words)}
    for split, index in drawn.items():
        task.require(split, classes[index], names, **parameters)
    for split, index in drawn.items():
        rng = stream(arguments.seed, f"{task_name}/{split}")
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
