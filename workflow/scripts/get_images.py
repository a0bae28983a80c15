"""Read a data set, download it if necessary, and write its images, labels and splits as numpy arrays."""

import argparse
from pathlib import Path

import numpy as np

from prunecurve.arrays import save_array
from prunecurve.commandline import log, parser, run
from prunecurve.data.datasets import DATASETS
from prunecurve.data.datasets.pixels import AUTO, with_channels
from prunecurve.data.splits import SPLITS
from prunecurve.tables import write_rows


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument("--dataset", choices=DATASETS, required=True, help="name of the data set")
    cli.add_argument("--data-dir", type=Path, required=True, help="folder of the data set")
    cli.add_argument("--image-size", type=int, required=True, help="height and width in pixels")
    cli.add_argument("--image-channels", choices=[AUTO, "1", "3"], default=AUTO, help="channels of all images")
    outputs = (
        "outputs: images, uint8 (n, C, S, S); labels, int64 (n,); the split that the data set assigns each image to, "
        "int8 (n,); number, name and size of each class"
    )
    metavar = ("IMAGES", "LABELS", "SPLITS", "CLASSES")
    cli.add_argument("--source", nargs=4, required=True, metavar=metavar, help=outputs)
    return cli


def work(arguments: argparse.Namespace) -> None:
    image_set = DATASETS[arguments.dataset].read(arguments.data_dir, arguments.image_size)
    images = with_channels(image_set.images, arguments.image_channels)
    counts = np.bincount(image_set.labels, minlength=len(image_set.names))
    own = np.bincount(image_set.splits, minlength=len(SPLITS))
    log.info(
        "%s: %d images of %d channels, %d classes; the data set's own splits: %s",
        arguments.dataset,
        len(images),
        images.shape[1],
        (counts > 0).sum(),
        ", ".join(f"{split} {count}" for split, count in zip(SPLITS, own)) if own[1:].any() else "none",
    )
    *arrays, classes = arguments.source
    for path, array in zip(arrays, (images, image_set.labels, image_set.splits), strict=True):
        save_array(path, array)
    # A folder's name may have bytes that are no text.
    names = [name.encode(errors="backslashreplace").decode() for name in image_set.names]
    rows = [{"class": i, "name": name, "images": int(count)} for i, (name, count) in enumerate(zip(names, counts))]
    write_rows(classes, rows)


if __name__ == "__main__":
    run(work, options().parse_args())
