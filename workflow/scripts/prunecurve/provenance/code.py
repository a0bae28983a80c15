"""The code that a result was computed with. Snakemake does not see imports, so the rules pass it a digest of this."""

import ast
import functools
import hashlib
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from prunecurve.provenance import SEPARATOR

PACKAGE = "prunecurve"
# Libraries whose name on the package index differs from the name in the import statement.
INSTALLED_AS = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml"}


class Code(NamedTuple):
    """What some files need: the files themselves, and all that they import, directly or indirectly.

    files: below a common folder. libraries: import names of all other modules, without the standard library. beside:
    the files of the top-level modules of the folder that are imported by their names alone, by these names.
    """

    files: set[Path]
    libraries: set[str]
    beside: dict[str, Path]


def code_of(files: Iterable[Path], root: Path) -> Code:
    """Return what the files need. root: the folder that their imports are looked up in first.

    Imports inside functions count too, imports that are not statements (importlib) do not. Raises SyntaxError, OSError
    or ValueError if a file cannot be read as Python.
    """
    code, waiting = Code(set(), set(), {}), list(files)
    while waiting:
        if (file := waiting.pop()) not in code.files:
            code.files.add(file)
            needed = _parsed(file.read_bytes(), file, root)[1]
            waiting += needed.files
            code.libraries.update(needed.libraries)
            code.beside.update(needed.beside)
    return code


def digest(files: Iterable[Path], root: Path, libraries: Iterable[str] = ()) -> str:
    """Return 16 hexadecimal digits of a hash over the names and the code of files, and the versions of libraries.

    Comments, docstrings and the layout of the code do not count, nor does the folder `root`.
    """
    content = hashlib.sha256()
    for name, file in sorted((file.relative_to(root).as_posix(), file) for file in files):
        content.update(f"{name}\0{_parsed(file.read_bytes(), file, root)[0]}\0".encode())
    for library in sorted(libraries):
        content.update(f"{library} {version(library)}\0".encode())
    return content.hexdigest()[:16]


@functools.cache
def code_setting(script: str | Path, *plugins: str) -> str:
    """Return the digest of a script's code as a setting that its outputs carry: `code of train: 0123…`.

    plugins: dotted names (`ranking.criteria.l1_norm`) of modules that the script imports by name at run time.
    """
    scripts = Path(script).parent
    named = [file for plugin in plugins for file in files_of(scripts, f"{PACKAGE}.{plugin}")]
    code = code_of([Path(script), *named], scripts)
    words = " with ".join([Path(script).stem, *plugins])
    # This library only checks values.
    return f"code of {words}{SEPARATOR}{digest(code.files, scripts, code.libraries - {'pydantic'})}"


def files_of(root: Path, name: str) -> list[Path]:
    """Return the files below a folder that an import of a dotted name runs: those of the packages, then the module."""
    places = [root.joinpath(*name.split(".")[: i + 1]) for i in range(name.count(".") + 1)]
    files = [(place / "__init__.py", place.with_name(f"{place.name}.py")) for place in places]
    return [file for pair in files for file in pair if file.is_file()]


@functools.cache
def version(library: str) -> str:
    """Return the installed version of a library by its import name; empty if it is not installed.

    A library can be missing here if jobs run in their own conda environments.
    """
    try:
        return metadata.version(INSTALLED_AS.get(library, library))
    except metadata.PackageNotFoundError:
        names = metadata.packages_distributions().get(library, [])
        return " ".join(metadata.version(name) for name in sorted(set(names)))


# The content is an argument, because a user's file can be edited while a process runs.
@functools.cache
def _parsed(content: bytes, file: Path, root: Path) -> tuple[str, Code]:
    """Return the code of a file without docstrings, and what the file itself imports."""
    tree, needed = ast.parse(content, file), Code(set(), set(), {})
    for node in ast.walk(tree):
        for name in _imported(node, file, root):
            top, here = name.split(".")[0], files_of(root, name)
            relative = isinstance(node, ast.ImportFrom) and node.level > 0
            needed.files.update(here)
            if here and not relative:
                needed.beside[top] = here[0]
            elif not relative and top not in sys.stdlib_module_names:
                needed.libraries.add(top)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [statement for statement in node.body if not _is_remark(statement)] or [ast.Pass()]
    return ast.unparse(tree), needed


def _is_remark(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _imported(node: ast.AST, file: Path, root: Path) -> list[str]:
    """Return the dotted names, from `root` on, of the modules that a statement of a file may import.

    `from a import b` may import the module `a.b`.
    """
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level <= len(file.parents):
        base = file.parents[node.level - 1] if node.level else root
        if base.is_relative_to(root):
            name = ".".join([*base.relative_to(root).parts, *filter(None, [node.module])])
            return [f"{name}.{alias.name}".strip(".") for alias in node.names]
    return []
