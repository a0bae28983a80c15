"""Read a data set, download it if necessary, and write its images, labels and held-out mask as numpy arrays."""

import argparse
from pathlib import Path

from prunecurve.commandline import log, parser, run
from prunecurve.datasets import DATASETS
from prunecurve.files import save_array


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__)
    cli.add_argument("--dataset", choices=DATASETS, required=True, help="name of the data set")
    cli.add_argument("--data-dir", type=Path, required=True, help="folder of the data set")
    cli.add_argument("--image-size", type=int, required=True, help="height and width in pixels")
    cli.add_argument("--images", type=Path, required=True, help="output: uint8 (n, C, S, S)")
    cli.add_argument("--labels", type=Path, required=True, help="output: int64 (n,)")
    cli.add_argument("--held-out", type=Path, required=True, help="output: bool (n,), the data set's own test images")
    return cli


def work(arguments: argparse.Namespace) -> None:
    image_set = DATASETS[arguments.dataset](arguments.data_dir, arguments.image_size)
    log.info(
        "%s: %d images of %d channels, %d classes, %d held out",
        arguments.dataset,
        len(image_set.images),
        image_set.images.shape[1],
        len(set(image_set.labels.tolist())),
        image_set.held_out.sum(),
    )
    save_array(arguments.images, image_set.images)
    save_array(arguments.labels, image_set.labels)
    save_array(arguments.held_out, image_set.held_out)


if __name__ == "__main__":
    run(work, options().parse_args())
