"""Freeze a study: copy the artifacts that its figures are drawn from into an archive, under a manifest."""

import argparse
import itertools
import json
from pathlib import Path

from prunecurve.archive import MANIFEST, circumstances, freeze
from prunecurve.commandline import log, parser, run


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--root", type=Path, required=True, help="the study's folder: results/mnist")
    # Patterns and not the files, of which a command line holds no more than some thousands.
    made.add_argument("--files", nargs="+", required=True, help="below the root, with {seed} and {criterion} in them")
    made.add_argument("--seeds", nargs="+", required=True)
    made.add_argument("--criteria", nargs="+", required=True)
    made.add_argument("--config", type=json.loads, required=True, help="the study's config, as JSON")
    made.add_argument("--manifest", type=Path, required=True, help="output: the archive's, beside which the files go")
    return made


def work(arguments: argparse.Namespace) -> None:
    assert arguments.manifest.name == MANIFEST
    named = itertools.product(arguments.files, arguments.seeds, arguments.criteria)
    names = dict.fromkeys(pattern.format(seed=seed, criterion=criterion) for pattern, seed, criterion in named)
    facts = {"study": arguments.root.name, "frozen": circumstances(), "config": arguments.config}
    freeze(arguments.root, names, facts, arguments.manifest.parent)
    size = sum(path.stat().st_size for path in arguments.manifest.parent.rglob("*") if path.is_file())
    log.info("%s: %d files, %.1f MB", arguments.manifest.parent, len(names), size / 1e6)


if __name__ == "__main__":
    run(work, options().parse_args(), chatty=True)
