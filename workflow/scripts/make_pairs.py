"""Draw the images of each split for one seed, and combine each image with images of its class and of other classes."""

import argparse
from pathlib import Path

from prunecurve.commandline import log, parser, run
from prunecurve.files import load_array, save_array
from prunecurve.pairs import SPLITS, draw_splits, make_pairs
from prunecurve.seeding import stream


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument("--images", type=Path, required=True, help="all images of the data set")
    cli.add_argument("--labels", type=Path, required=True, help="the classes of the images")
    cli.add_argument("--held-out", type=Path, required=True, help="mask of the data set's own test images")
    cli.add_argument("--dataset", required=True, help="name of the data set, for error messages")
    for split in SPLITS:
        cli.add_argument(f"--{split}", type=int, required=True, help=f"number of images in the {split} split")
    cli.add_argument("--same", type=int, required=True, help="number of pairs of the same class per image")
    cli.add_argument("--different", type=int, required=True, help="number of pairs of different classes per image")
    cli.add_argument("--seed", type=int, required=True, help="seed of the study")
    cli.add_argument("--folder", type=Path, required=True, help="output: images/, labels/, pairs/, one file per split")
    return cli


def work(arguments: argparse.Namespace) -> None:
    images = load_array(arguments.images, shape=(None, None, None, None), mapped=True)
    labels = load_array(arguments.labels, shape=(len(images),))
    held_out = load_array(arguments.held_out, shape=(len(images),))
    sizes = {split: getattr(arguments, split) for split in SPLITS}
    drawn = draw_splits(held_out, sizes, stream(arguments.seed, "images"), dataset=arguments.dataset)
    for split, index in drawn.items():
        pairs = make_pairs(
            labels[index],
            arguments.same,
            arguments.different,
            stream(arguments.seed, f"pairs/{split}"),
            key=f"images.{arguments.dataset}.{split}",
        )
        log.info("%s: %d images, %d pairs, %d of them same", split, len(index), len(pairs), pairs[:, 2].sum())
        save_array(arguments.folder / "images" / f"{split}.npy", images[index])
        save_array(arguments.folder / "labels" / f"{split}.npy", labels[index])
        save_array(arguments.folder / "pairs" / f"{split}.npy", pairs)


if __name__ == "__main__":
    run(work, options().parse_args())
