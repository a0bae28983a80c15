"""Frozen studies: the small artifacts that every figure is drawn from, and a manifest with the checksum of each.

An archive has the layout of `results/{study}`; its largest tables are compressed. Every artifact holds the
settings that it was computed with (see provenance). Freezing compares them with the config and the code.
"""

import hashlib
import json
import lzma
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prunecurve import machine
from prunecurve.errors import StudyError, unwritable
from prunecurve.provenance import SEPARATOR, UNKNOWN, check_seal, settings_of
from prunecurve.provenance.code import version
from prunecurve.tables import read_text

MANIFEST = "manifest.json"
# Tables of at least this size, in bytes, are compressed; smaller ones stay readable as text.
COMPRESSED_FROM = 1 << 20
LIBRARIES = ("snakemake", "torch", "torchvision", "numpy", "pandas", "scipy", "statsmodels", "sklearn", "matplotlib")


def freeze(root: Path, names: Iterable[str], facts: Mapping[str, Any], folder: Path) -> None:
    """Copy files below `root` to an archive, with a manifest of the facts and of each file's size and SHA-256.

    Checksums are verified first. Links are replaced by copies, because a cached file may be deleted later. An old
    archive of the same name is replaced when the new one is complete.
    """
    new, old = (folder.with_name(f"{mark}-{folder.name}") for mark in (".unfinished", ".old"))
    files = {}
    try:
        for left in (new, old):
            shutil.rmtree(left, ignore_errors=True)
        for name in names:
            stored, content = _stored(root / name, name)
            (new / stored).parent.mkdir(parents=True, exist_ok=True)
            (new / stored).write_bytes(content)
            files[stored] = _identity(content)
        text = json.dumps({**facts, "files": files}, indent=1, ensure_ascii=False)
        (new / MANIFEST).write_text(f"{text}\n", encoding="utf-8")
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except OSError as error:
        message = unwritable(folder, error)
        raise StudyError(message) if message else error from error
    finally:
        for left in (new, old) if folder.exists() else (new,):
            shutil.rmtree(left, ignore_errors=True)


def require_made_with(root: Path, names: Iterable[str], allowed: Iterable[str]) -> None:
    """Raise StudyError unless every file was computed with allowed settings only.

    allowed: lines `KEY: VALUE`, those of the config and of the current code. The message has one line per wrong
    setting: the key, the first file with another value, and both values.
    """
    allowed = set(allowed)
    values = dict(line.split(SEPARATOR, 1) for line in allowed)
    wrong: dict[str, str] = {}
    for name in names:
        lines = settings_of(root / name)
        if not lines:
            wrong.setdefault(f"settings of {name}", f"{root / name} does not say which settings it was made with")
        for line in sorted(set(lines) - allowed):
            key, _, value = line.partition(SEPARATOR)
            kind = "the code is now" if key.startswith("code of ") else "the config says"
            wants = f"; {kind} {values.get(key, 'unknown')}" if key != UNKNOWN else ""
            wrong.setdefault(line, f"{key}: {root / name} was made with {value}{wants}")
    if wrong:
        raise StudyError(
            "not frozen: the results were not made with this config and this code:\n  "
            + "\n  ".join(wrong.values())
            + "\nRun the study without --touch and without --rerun-triggers (also in your own profile), or delete"
            f" {root} and run it again. To freeze the results as they are, use the config and code that made them."
        )


def require_replaceable(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise StudyError if the archive is in git or holds a different study: only an explicit name replaces it."""
    if not folder.exists():
        return
    try:
        same = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["config"] == json.loads(json.dumps(config))
    except (OSError, ValueError, KeyError, TypeError):
        same = False
    if same and not _git("ls-files", "--", folder.resolve().as_posix()):
        return
    reason = "is committed to git" if same else "holds a different study"
    raise StudyError(
        f"{folder} {reason} and is not replaced. Name an archive to write: make archive NAME=NEW"
        f" (snakemake archive/NEW/{MANIFEST}); NAME={folder.name} replaces it."
    )


def _stored(path: Path, name: str) -> tuple[str, bytes]:
    """Return the name and the content of a file in the archive. If the file has a checksum, it is verified.

    Tables are plain there: the manifest has the checksums, and the settings are those of its config.
    """
    if path.suffix == ".npy":
        check_seal(path)
        return name, path.read_bytes()
    content = read_text(path).encode()
    return (f"{name}.xz", lzma.compress(content, preset=9)) if len(content) >= COMPRESSED_FROM else (name, content)


def circumstances() -> dict[str, Any]:
    """Return the time, the commit, the library versions and the kind of machine, for the manifest.

    No person and no host is named. The commit is empty if the workflow does not run at the top of a git repository.
    """
    models = re.findall(r"^model name\s*: (.*)$", machine.system_file(machine.CPU), re.M) or [platform.processor()]
    return {
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _git("rev-parse", "HEAD").strip(),
        # This includes new files, such as a criterion that is not committed yet.
        "changed_since_commit": _git("status", "--porcelain", "--", "Snakefile", "workflow", "config").splitlines(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        "machine": {"system": platform.system(), "architecture": platform.machine(), "processor": models[0]},
    }


def _git(*words: str) -> str:
    """Return the output of git in the folder of the workflow; empty if that is not the top of a repository."""
    project = Path(__file__).resolve().parents[4]

    def output(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=project, capture_output=True, text=True, check=True).stdout

    try:
        return output(*words) if not output("rev-parse", "--show-prefix").strip() else ""
    except (OSError, subprocess.CalledProcessError):
        return ""


def _identity(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def checked(folder: Path) -> dict[str, Any]:
    """Return the manifest of an archive. Raises StudyError, naming the file, if a file is missing or was changed."""
    if not (folder / MANIFEST).is_file():
        there = sorted(path.parent.name for path in folder.parent.glob(f"[!.]*/{MANIFEST}"))
        raise StudyError(
            f"archive: there is no {folder / MANIFEST}; archives here: {', '.join(there) or 'none'}"
            "; make archive NAME=… freezes a study"
        )
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files, *_ = (dict(manifest[part]) for part in ("files", "config", "frozen"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyError(f"archive: {folder / MANIFEST} is not a manifest ({error}); {_restore(folder)}") from error
    for name, identity in files.items():
        path = folder / name
        # Neither outside of the folder nor through a link.
        if not path.resolve().is_relative_to(folder.resolve()) or path.resolve() != folder.resolve() / name:
            raise StudyError(f"archive: {folder / MANIFEST} names {name}, which is not a file in this archive")
        if not path.is_file():
            raise StudyError(f"archive: {path} is missing; {_restore(folder)}")
        if _identity(path.read_bytes()) != identity:
            raise StudyError(
                f"archive: {path} was changed: it does not match its checksum in {MANIFEST}; {_restore(folder)}"
            )
    return manifest


def _restore(folder: Path) -> str:
    return (
        f"restore it (git checkout -- {folder.as_posix()}) or freeze the study again (make archive NAME={folder.name})"
    )


def held(folder: Path, manifest: Mapping[str, Any], name: str) -> str | None:
    """Return the path of a file in an archive, given its name in the study's folder; None if it is not there."""
    matches = (stored for stored in (name, f"{name}.xz") if stored in manifest["files"])
    return next((str(folder / stored) for stored in matches), None)
