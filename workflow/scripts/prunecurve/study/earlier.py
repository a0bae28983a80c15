"""What a run would replace in a finished study of the same name, and which of its figures are no longer drawn."""

import os
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from prunecurve import figures
from prunecurve.config.layers import Layers, misfits
from prunecurve.config.model import keys_of_tables
from prunecurve.config.settings import replaced
from prunecurve.errors import StudyError
from prunecurve.provenance import SEPARATOR, read_settings
from prunecurve.study.study import STUDY_FIGURES, TABLES_OF_TARGETS, Study

# The keys that one table depends on, with what is computed from it, and no file of a network. A run that does not write
# the table replaces nothing of them.
OF_TABLE = {name: tuple(f"{key}{SEPARATOR}" for key in keys) for name, keys in keys_of_tables().items()}


@dataclass(frozen=True)
class EarlierResults:
    """The results that a study already has, seen from the config of a run.

    users_files: the settings for the contents of the user's files. placed: adds to a path what rules add to theirs.
    """

    study: Study
    users_files: Sequence[str]
    placed: Callable[[str], str] = str

    @property
    def folder(self) -> str:
        """The folder of the study."""
        return self.placed(f"results/{self.study.name}")

    def replaced(self, layers: Layers | None) -> list[str]:
        """Return what a run would replace in a finished study: one line per setting.

        layers: those of the network, or None if they are not known yet.
        """
        # An old table may not have the layer that the config names.
        layers = None if layers and list(misfits(self.study.config, layers)) else layers
        # A study may consist of the table of one target alone.
        tables = (f"{self.folder}/{name}" for name in ("curve.csv", *TABLES_OF_TARGETS))
        stored = next(filter(None, map(self._stored, tables)), [])
        return replaced(stored, self.study.config, self.users_files, layers)

    def _stored(self, table: str) -> list[str]:
        """Return the settings that a table was made with; none if it may be replaced."""
        try:
            return [] if self.study.config["overwrite"] else read_settings(table)
        # A table that was edited by hand does not belong to any settings.
        except StudyError:
            return []

    def replaced_by(
        self, written: Collection[str], lines: Sequence[str], layers: Layers | None, *, awaited: bool
    ) -> list[str]:
        """Return what jobs that write these files would replace in a finished study: one line per setting.

        lines: of `replaced`. awaited: whether the layers are not known yet, and then not which jobs write the curve.
        """
        replacing: list[str] = []
        # A run that draws an archive may not write to the study.
        if not self.study.frozen or any(file.startswith(f"{self.folder}/") for file in written):
            of_one_table = tuple(key for keys in OF_TABLE.values() for key in keys)
            replacing += [line for line in lines if awaited or not line.startswith(of_one_table)]
        for name in OF_TABLE:
            if (table := f"{self.folder}/{name}") in written:
                replacing += replaced(self._stored(table), self.study.config, self.users_files, layers)
        return list(dict.fromkeys(replacing))

    def message(self, lines: Sequence[str]) -> str:
        """Return the message about these differences."""
        differences = "\n  ".join(lines)
        return (
            f"{self.folder} holds a finished study that was made with other settings:\n  {differences}\n"
            "To keep it, give this study a name: --config study=NAME. To replace it: --config overwrite=true."
        )

    def former_figures(self, drawn: Sequence[str]) -> list[Path]:
        """Return the figures in the study's folder that the config does not draw; none before all others exist.

        drawn: the files of the figures that the config draws. Those of the targets are kept, too.
        """
        current = set(map(self.placed, drawn))
        if not all(map(os.path.exists, current)):
            return []
        of_targets = "|".join(name for name, table in STUDY_FIGURES.items() if table in TABLES_OF_TARGETS)
        name = re.compile(rf"(?!({of_targets})\.)({'|'.join(figures.FOLDERS)})(_.+_seed\d+)?\.(png|svg)")
        folder = Path(self.placed(f"results/{self.study.drawn}/figures"))
        return [
            each for each in sorted(folder.glob("*.*")) if name.fullmatch(each.name) and each.as_posix() not in current
        ]
