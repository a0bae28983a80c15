"""Freeze a study: copy the artifacts that its figures are drawn from into an archive, with a manifest."""

import argparse
import itertools
import json
from pathlib import Path

from prunecurve import criteria
from prunecurve.archive import MANIFEST, circumstances, freeze, require_made_with
from prunecurve.commandline import log, parser, run
from prunecurve.config import settings
from prunecurve.source import code_setting


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--root", type=Path, required=True, help="the study's folder: results/mnist")
    # Patterns and not the files: a command line holds no more than some thousands.
    made.add_argument("--files", nargs="+", required=True, help="below the root, with {seed} and {criterion} in them")
    made.add_argument("--seeds", nargs="+", required=True)
    made.add_argument("--criteria", nargs="+", required=True)
    made.add_argument("--config", type=json.loads, required=True, help="the study's config, as JSON")
    made.add_argument("--data", nargs="*", default=[], help="the setting of the data's content, if there is one")
    made.add_argument("--manifest", type=Path, required=True, help="output: the manifest; the files go beside it")
    return made


def allowed_settings(config: dict, data: list[str]) -> list[str]:
    """The settings that an artifact may carry: those of the config, of the data and of the present code."""
    scripts = Path(__file__).parent
    code = [code_setting(script) for script in sorted(scripts.glob("*.py"))]
    code += [code_setting(scripts / "rank_channels.py", f"criteria.{name}") for name in criteria.names()]
    return [*settings(config).values(), *data, *code]


def warn(frozen: dict) -> None:
    """Say what the manifest can't say: which code made the results, if git doesn't know it."""
    if not frozen["commit"]:
        log.warning("no git commit here: the manifest doesn't say which version of the code made these results")
    elif changed := frozen["changed_since_commit"]:
        log.warning("%d files differ from commit %s; the manifest lists them", len(changed), frozen["commit"][:9])


def work(arguments: argparse.Namespace) -> None:
    assert arguments.manifest.name == MANIFEST
    named = itertools.product(arguments.files, arguments.seeds, arguments.criteria)
    names = dict.fromkeys(pattern.format(seed=seed, criterion=criterion) for pattern, seed, criterion in named)
    require_made_with(arguments.root, names, allowed_settings(arguments.config, arguments.data))
    frozen = circumstances()
    warn(frozen)
    facts = {"study": arguments.root.name, "frozen": frozen, "config": arguments.config}
    freeze(arguments.root, names, facts, arguments.manifest.parent)
    size = sum(path.stat().st_size for path in arguments.manifest.parent.rglob("*") if path.is_file())
    log.info("frozen in %s: %d files, %.1f MB", arguments.manifest.parent, len(names), size / 1e6)


if __name__ == "__main__":
    run(work, options().parse_args(), chatty=True)
