"""Downloads with torchvision."""

import importlib
import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from prunecurve.data.torchvision_operators import with_torchvision
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
    """Import torchvision.datasets, even if torchvision was compiled for another build of torch."""
    return with_torchvision(lambda: importlib.import_module("torchvision.datasets"))
