"""Downloads with torchvision."""

import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from prunecurve.errors import StudyError

OFFLINE_CHOICES = (
    "without internet access, either set data_dir to a folder that already contains the data set in torchvision's "
    "layout, or use a data set that needs no download: dataset: digits, or dataset: image_folder or arrays with your "
    "own images"
)


def download(
    class_name: str,
    data_dir: Path,
    folder: str,
    missing: Iterable[str],
    fetch: Callable[[Any, str], object],
    *,
    alternative: str,
) -> None:
    """Download a data set and move its missing files to their place.

    The download goes to a temporary folder, so that a failed or interrupted one leaves nothing in data_dir.
    class_name: the class in torchvision, for messages. folder, missing: the missing files, as a folder in data_dir and
    names in it. fetch: a function (torchvision.datasets, temporary folder) that puts the files into the same folder of
    the temporary folder. alternative: which other files may replace the missing ones, for the message. Raises
    StudyError if the download fails.
    """
    place = data_dir / folder
    new = [parent for parent in (place, *place.parents) if not parent.exists()]
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=data_dir) as temporary:
            fetch(import_torchvision_datasets(), temporary)
            place.mkdir(parents=True, exist_ok=True)
            for name in missing:
                os.replace(Path(temporary) / folder / name, place / name)
    # torchvision passes on all exceptions of the download and of the file parser.
    except Exception as error:
        reason = " ".join(str(error).split())
        there = sorted(path.name for path in place.iterdir()) if place.is_dir() else []
        raise StudyError(
            f"data_dir: {class_name} is not in {data_dir} and could not be downloaded there ({reason}). "
            f"Missing in {place}: {', '.join(missing)} ({alternative}); "
            f"found there: {', '.join(there[:8]) or 'nothing'}; {OFFLINE_CHOICES}"
        ) from error
    finally:
        for parent in new:
            # Succeeds for empty folders only.
            with suppress(OSError):
                parent.rmdir()


def import_torchvision_datasets() -> Any:
    """Import torchvision.datasets, even if torchvision was compiled for another build of torch.

    With a CPU-only torch, the import can fail because two compiled operators are missing. Declaring
    them is enough, because the data sets do not use them.
    """
    import torch

    try:
        from torchvision import datasets
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        torch.library.define("torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torch.library.define("torchvision::qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        from torchvision import datasets
    return datasets
