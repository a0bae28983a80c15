"""An archive whose figures are drawn instead of running the study."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from prunecurve.archive import archive


class Frozen(NamedTuple):
    """An archive whose figures are drawn: its folder and its manifest."""

    folder: Path
    manifest: Mapping[str, Any]

    @classmethod
    def named(cls, name: str, folders: Sequence[Path]) -> "Frozen":
        """Return the archive of this name, in the first of these folders that has one. Raises StudyError."""
        folder = next((folder / name for folder in folders if (folder / name).is_dir()), folders[0] / name)
        return cls(folder, archive.checked(folder))

    def file(self, name: str) -> str | None:
        """Return the path of a file of the study; None if the archive does not contain it."""
        return archive.held(self.folder, self.manifest, name)
