"""Tell two studies apart: which numbers differ, and by how much. Exits with 1 if any do, 2 on mistakes."""

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
    """Print how the studies differ; whether they do."""
    for name, study in (("A", a), ("B", b)):
        print(f"{name}  {study}, {len(files_of(study))} files  {origin(study)}".rstrip())
    found = list(differences(a, b))
    apart = [difference for difference in found if difference.told]
    alone = {"A": only_in(a, b), "B": only_in(b, a)}
    print(f"{len(found) - len(apart)} of {len(found)} files that both hold have the same content.")
    for difference in apart:
        print(f"\n{difference.file} differs:")
        for line in difference.told:
            print(f"  {line}")
    for name, files in alone.items():
        if files:
            print(f"\nIn {name} alone: {len(files)} files, the first {files[0]}")
    return bool(apart or any(alone.values()))


if __name__ == "__main__":
    arguments = options().parse_args()
    try:
        sys.exit(int(report(arguments.a, arguments.b)))
    # 1 is for studies that differ, which Python would end with on any error.
    except Exception as error:
        print(f"compare_studies: {error if isinstance(error, StudyError) else repr(error)}", file=sys.stderr)
        sys.exit(2)
