"""List the numbers that differ between two studies. The exit status is 1 if any differ and 2 on errors."""

import argparse
import sys
from pathlib import Path

from prunecurve.archive.differences import differences, files_of, only_in, origin
from prunecurve.errors import StudyError


def options() -> argparse.ArgumentParser:
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("a", type=Path, help="folder of a study (results/mnist) or of an archive (archive/mnist)")
    cli.add_argument("b", type=Path, help="folder of the other study or archive")
    return cli


def report(a: Path, b: Path) -> bool:
    """Print the differences between the studies; return whether there are any."""
    for name, study in (("A", a), ("B", b)):
        print(f"{name}  {study}, {len(files_of(study))} files  {origin(study)}".rstrip())
    compared = differences(a, b)
    differing = {name: lines for name, lines in compared.items() if lines}
    unmatched = {"A": only_in(a, b), "B": only_in(b, a)}
    print(f"{len(compared) - len(differing)} of {len(compared)} files in both studies have the same content.")
    for name, lines in differing.items():
        print("\n  ".join([f"\n{name} differs:", *lines]))
    for name, files in unmatched.items():
        if files:
            print(f"\nFiles only in {name}: {len(files)} (first: {files[0]})")
    return bool(differing or any(unmatched.values()))


if __name__ == "__main__":
    arguments = options().parse_args()
    try:
        sys.exit(int(report(arguments.a, arguments.b)))
    # Errors exit with 2, because 1, Python's status for any error, means here that the studies differ.
    except Exception as error:
        print(f"compare_studies: {error if isinstance(error, StudyError) else repr(error)}", file=sys.stderr)
        sys.exit(2)
