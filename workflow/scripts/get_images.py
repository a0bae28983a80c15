"""Read a data set, downloading it where needed, and write its images as plain arrays."""

import argparse
from pathlib import Path

from prunecurve.commandline import log, parser, run
from prunecurve.datasets import DATASETS
from prunecurve.files import save_array


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--dataset", choices=DATASETS, required=True)
    made.add_argument("--data-dir", type=Path, required=True, help="folder of the data set")
    made.add_argument("--image-size", type=int, required=True, help="height and width in pixels")
    made.add_argument("--images", type=Path, required=True, help="output: uint8 (n, C, S, S)")
    made.add_argument("--labels", type=Path, required=True, help="output: int64 (n,)")
    made.add_argument("--held-out", type=Path, required=True, help="output: bool (n,), the data set's own test images")
    return made


def work(arguments: argparse.Namespace) -> None:
    found = DATASETS[arguments.dataset](arguments.data_dir, arguments.image_size)
    log.info(
        "%s: %d images of %d channels, %d classes, %d held out",
        arguments.dataset,
        len(found.images),
        found.images.shape[1],
        len(set(found.labels.tolist())),
        found.held_out.sum(),
    )
    save_array(arguments.images, found.images)
    save_array(arguments.labels, found.labels)
    save_array(arguments.held_out, found.held_out)


if __name__ == "__main__":
    run(work, options().parse_args())
