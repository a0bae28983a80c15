"""Freeze a study: copy the artifacts that its figures are drawn from to an archive, with a manifest."""

import argparse
import itertools
import json
from pathlib import Path

from prunecurve.archive.archive import circumstances, freeze, require_made_with
from prunecurve.commandline import log, parser, run
from prunecurve.config.settings import settings


def options() -> argparse.ArgumentParser:
    cli = parser(__doc__, "--seeds", "--criteria")
    cli.add_argument("--root", type=Path, required=True, help="folder of the study, for example results/mnist")
    # Patterns, not the files: a study has too many files for one command line.
    cli.add_argument("--files", nargs="+", required=True, help="paths below --root, with {seed} and {criterion}")
    cli.add_argument("--config", type=json.loads, required=True, help="the study's config, as JSON")
    cli.add_argument("--data", nargs="*", default=[], help="the setting for the content of data_dir, if there is one")
    cli.add_argument("--codes", nargs="*", default=[], help="the settings for the code of all scripts")
    cli.add_argument("--manifest", type=Path, required=True, help="output: the manifest, in the folder of the files")
    return cli


def work(arguments: argparse.Namespace) -> None:
    named = itertools.product(arguments.files, arguments.seeds, arguments.criteria)
    names = dict.fromkeys(pattern.format(seed=seed, criterion=criterion) for pattern, seed, criterion in named)
    allowed = [*settings(arguments.config).values(), *arguments.data, *arguments.codes]
    require_made_with(arguments.root, names, allowed)
    frozen = circumstances()
    if not frozen["commit"]:
        log.warning("no git commit here: the manifest does not say which version of the code computed these results")
    elif edited := frozen["changed_since_commit"]:
        log.warning("files changed since commit %s: %d; the manifest lists them", frozen["commit"][:9], len(edited))
    facts = {"study": arguments.root.name, "frozen": frozen, "config": arguments.config, "data": arguments.data}
    freeze(arguments.root, names, facts, arguments.manifest.parent)
    size = sum(path.stat().st_size for path in arguments.manifest.parent.rglob("*") if path.is_file())
    log.info("frozen in %s: %d files, %.1f MB", arguments.manifest.parent, len(names), size / 1e6)


if __name__ == "__main__":
    run(work, options().parse_args(), chatty=True)
