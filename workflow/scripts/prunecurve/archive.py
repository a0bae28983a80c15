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
from pathlib import Path
from typing import Any

from prunecurve.errors import StudyError, unwritable
from prunecurve.files import CHECKSUM, load_array, read_rows
from prunecurve.source import version

MANIFEST = "manifest.json"
# Tables from this size on, in bytes, are compressed; the others stay readable as they lie there.
COMPRESSED_FROM = 1 << 20
LIBRARIES = ("snakemake", "torch", "torchvision", "numpy", "pandas", "scipy", "statsmodels", "sklearn", "matplotlib")


def freeze(root: Path, names: Iterable[str], facts: Mapping[str, Any], folder: Path) -> None:
    """Copy files below `root` into an archive, with a manifest of the facts and of each file's size and SHA-256.

    What is sealed is checked first. Links are followed: what lies in a cache today may be gone tomorrow. An archive
    that is there already goes when the new one is complete.
    """
    new, old = (folder.with_name(f"{mark}-{folder.name}") for mark in (".unfinished", ".old"))
    for left in (new, old):
        shutil.rmtree(left, ignore_errors=True)
    files = {}
    try:
        for name in names:
            stored, content = _stored(root / name, name)
            (new / stored).parent.mkdir(parents=True, exist_ok=True)
            (new / stored).write_bytes(content)
            files[stored] = _identity(content)
        text = json.dumps({**facts, "files": files}, indent=1, ensure_ascii=False)
        (new / MANIFEST).write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        told = unwritable(folder, error)
        shutil.rmtree(new, ignore_errors=True)
        raise StudyError(told) if told else error from error
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _stored(path: Path, name: str) -> tuple[str, bytes]:
    """Under which name an intact file is archived, and as what."""
    content = path.read_bytes()
    if path.suffix == ".npy":
        load_array(path)
    elif content.split(b"\n", 1)[0].endswith(f",{CHECKSUM}".encode()):
        read_rows(path)
    elif len(content) >= COMPRESSED_FROM:
        return f"{name}.xz", lzma.compress(content, preset=9)
    return name, content


def circumstances() -> dict[str, Any]:
    """When, from which commit, with which libraries and on which kind of machine a study is frozen.

    No name of a person or a host. The results are those of this code: Snakemake makes what isn't before it freezes.
    """
    return {
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _git("rev-parse", "HEAD").strip(),
        # New files of the workflow's too: a criterion that isn't committed yet.
        "changed_since_commit": _git("status", "--porcelain", "--", "Snakefile", "workflow", "config").splitlines(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        "machine": {"system": platform.system(), "architecture": platform.machine(), "processor": _processor()},
    }


def _git(*words: str) -> str:
    """What git says of the folder that the workflow runs in; empty where that isn't the top of a repository."""

    def said(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout

    try:
        return said(*words) if not said("rev-parse", "--show-prefix").strip() else ""
    except (OSError, subprocess.CalledProcessError):
        return ""


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M)
    except OSError:
        found = None
    return found[1] if found else platform.processor()


def _identity(content: bytes) -> dict[str, Any]:
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
        if not isinstance(manifest["config"], dict) or not isinstance(manifest["frozen"]["commit"], str):
            raise TypeError("its config is no mapping, or its commit no text")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(f"archive: {folder / MANIFEST} is not a manifest ({error}); {_restore(folder)}") from error
    for name, (digest, size) in listed.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()) or path.resolve() != folder.resolve() / name:
            raise StudyError(f"archive: {folder / MANIFEST} names {name}, which isn't a file of the archive's own")
        if not path.is_file():
            raise StudyError(f"archive: {path} is missing; {_restore(folder)}")
        if _identity(path.read_bytes()) != {"sha256": digest, "bytes": size}:
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
