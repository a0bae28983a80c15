"""List which numbers of two studies differ, and by how much. Exits with 1 if any do, with 2 on errors."""

import argparse
import sys
from pathlib import Path

from prunecurve.differences import differences, files_of, only_in, origin
from prunecurve.errors import StudyError


def options() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("a", type=Path, help="a study's folder (results/mnist) or an archive's (archive/mnist)")
    made.add_argument("b", type=Path, help="another")
    return made


def report(a: Path, b: Path) -> bool:
    """Print how the studies differ; return whether they do."""
    for name, study in (("A", a), ("B", b)):
        print(f"{name}  {study}, {len(files_of(study))} files  {origin(study)}".rstrip())
    found = list(differences(a, b))
    apart = [difference for difference in found if difference.lines]
    alone = {"A": only_in(a, b), "B": only_in(b, a)}
    print(f"{len(found) - len(apart)} of {len(found)} files that both hold have the same content.")
    for difference in apart:
        print(f"\n{difference.file} differs:")
        for line in difference.lines:
            print(f"  {line}")
    for name, files in alone.items():
        if files:
            print(f"\nIn {name} alone: {len(files)} files, the first {files[0]}")
    return bool(apart or any(alone.values()))


if __name__ == "__main__":
    arguments = options().parse_args()
    try:
        sys.exit(int(report(arguments.a, arguments.b)))
    # Exit status 1 means that the studies differ; Python would use it for any error.
    except Exception as error:
        print(f"compare_studies: {error if isinstance(error, StudyError) else repr(error)}", file=sys.stderr)
        sys.exit(2)
