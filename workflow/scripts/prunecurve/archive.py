"""Frozen studies: the small artifacts that every figure is drawn from, and a manifest that vouches for each of them.

An archive has the layout of `results/{dataset}`, its largest tables compressed.
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
from pathlib import Path, PurePosixPath
from typing import Any

from prunecurve.errors import StudyError
from prunecurve.source import version

MANIFEST = "manifest.json"
# Tables from this size on, in bytes, are compressed; the others stay readable as they lie there.
COMPRESSED_FROM = 1 << 20
LIBRARIES = ("snakemake", "torch", "torchvision", "numpy", "pandas", "scipy", "statsmodels", "sklearn", "matplotlib")


def freeze(root: Path, names: Iterable[str], facts: Mapping[str, Any], folder: Path) -> None:
    """Copy files below `root` into an archive, with a manifest of the facts and of each file's size and SHA-256.

    Links are followed: what lies in a cache today may be gone tomorrow. An archive that is there already goes when the
    new one is complete.
    """
    new = folder.with_name(f".unfinished-{folder.name}")
    shutil.rmtree(new, ignore_errors=True)
    for name in names:
        path = new / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = (root / name).read_bytes()
        if path.suffix == ".csv" and len(content) >= COMPRESSED_FROM:
            path, content = path.with_name(f"{path.name}.xz"), lzma.compress(content, preset=9)
        path.write_bytes(content)
    files = {path.relative_to(new).as_posix(): _identity(path) for path in sorted(new.rglob("*")) if path.is_file()}
    text = json.dumps({**facts, "files": files}, indent=1, ensure_ascii=False)
    (new / MANIFEST).write_text(f"{text}\n", encoding="utf-8")
    old = folder.with_name(f".old-{folder.name}")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def circumstances() -> dict[str, Any]:
    """When, by which code, with which libraries and on which kind of machine; no name of a person or a host."""
    return {
        "frozen": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _git("rev-parse", "HEAD"),
        "changed_since_commit": _git("status", "--porcelain", "--untracked-files=no").split("\n")[:-1],
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        "machine": {"system": platform.system(), "architecture": platform.machine(), "processor": _processor()},
    }


def _git(*words: str) -> str:
    """What git says of the folder that the workflow runs in; empty where there is no git or no repository."""
    try:
        said = subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    return said.strip() if words[0] == "rev-parse" else said


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M)
    except OSError:
        found = None
    return found[1] if found else platform.processor()


def _identity(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def checked(folder: Path) -> dict[str, Any]:
    """The manifest of an archive each of whose files is what was frozen; StudyError, naming the first that isn't."""
    if not (folder / MANIFEST).is_file():
        there = sorted(path.parent.name for path in folder.parent.glob(f"*/{MANIFEST}"))
        raise StudyError(
            f"archive: there is no {folder / MANIFEST}; archives here: {', '.join(there) or 'none'}"
            " (make archive NAME=… freezes a study)"
        )
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        listed = {str(name): (entry["sha256"], entry["bytes"]) for name, entry in manifest["files"].items()}
        if not isinstance(manifest["config"], dict):
            raise TypeError("its config is no mapping")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(f"archive: {folder / MANIFEST} is not a manifest ({error}); {_restore(folder)}") from error
    for name, (digest, size) in listed.items():
        path = folder / name
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or path.is_symlink():
            raise StudyError(f"archive: {folder / MANIFEST} names {name}, which isn't a file of the archive's own")
        if not path.is_file():
            raise StudyError(f"archive: {path} is missing; {_restore(folder)}")
        if _identity(path) != {"sha256": digest, "bytes": size}:
            raise StudyError(f"archive: {path} is not what {MANIFEST} vouches for; {_restore(folder)}")
    return manifest


def _restore(folder: Path) -> str:
    return (
        f"restore it (git checkout -- {folder.as_posix()}) or freeze the study again (make archive NAME={folder.name})"
    )


def held(folder: Path, manifest: Mapping[str, Any], name: str) -> str | None:
    """The path of a file in an archive by its name below the study's folder; None if the archive hasn't it."""
    found = (stored for stored in (name, f"{name}.xz") if stored in manifest["files"])
    return next((str(folder / stored) for stored in found), None)
