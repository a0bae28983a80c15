"""The code of a user's network: which files and libraries its function needs, and their digest. Nothing is imported."""

import ast
import difflib
import functools
import hashlib
import os
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from prunecurve import provenance
from prunecurve.errors import StudyError
from prunecurve.model.factory import Factory
from prunecurve.provenance import SEPARATOR
from prunecurve.source import statements, text_of, version

INSTALLED = {"site-packages", "dist-packages"}


class Code(NamedTuple):
    """The code that a function needs. Files count by their names relative to the folder that they are imported from.

    files: the folder of each file. libraries: import names. beside: top-level names of the modules that a file imports
    from its own folder, with the file of each.
    """

    files: dict[Path, Path]
    libraries: set[str]
    beside: dict[str, Path]


def code_settings_of(factory: Factory) -> list[str]:
    """Return the digest of the code of a user's network, and the libraries that it needs, as settings of outputs."""
    versions = sorted(f"{library} {_version(library)}".strip() for library in code_of(factory).libraries)
    return [_code_setting(factory), f"code of network.factory's libraries{SEPARATOR}{', '.join(versions)}"]


def _code_setting(factory: Factory) -> str:
    return f"code of network.factory{SEPARATOR}{digest_of(factory)}"


def digest_of(factory: Factory) -> str:
    """Return 16 hexadecimal digits of a hash over the code of a user's network.

    That is the code of the file and of all that it imports from its folder, without comments, docstrings and layout. Of
    a module it is its code if it is not installed but lies in another folder (editable installations, PYTHONPATH).
    Installed libraries count by their versions, in a setting of their own: jobs in conda environments have others than
    the process that plans them. Imports that are no statements and files that the code reads do not count. Raises
    StudyError as `code_of`.
    """
    code, content = code_of(factory), hashlib.sha256()
    named = sorted((os.path.relpath(file, root), file) for file, root in code.files.items())
    for name, file in named:
        content.update(f"{name}\0{text_of(_tree(file))}\0".encode())
    return content.hexdigest()[:16]


def require_as_planned(factory: Factory) -> None:
    """Raise StudyError if the code of a user's network is not the one that the job and its inputs name.

    The file can be edited while a run goes on, and also back again. A script that is run by hand names no code.
    """
    if provenance.differs(_code_setting(factory)):
        raise StudyError(
            f"network.factory: the code of {factory.text} was edited after this run had started, or after its results "
            "were computed; run the same command again: everything is then computed with the code as it is"
        )


def code_of(factory: Factory) -> Code:
    """Return the code that a function needs.

    Raises StudyError with one line that names network.factory: if the file is missing or does not define the function,
    if a file has a syntax error (with file and line), or if a file in its folder has the name of a standard module.
    """
    code, waiting = Code({}, set(), {}), []
    if factory.file:
        first = Path(factory.file)
        if not first.is_file():
            raise StudyError(f"network.factory: there is no file {factory.file}")
        _require_defined(factory, _tree(first))
        waiting.append((first, first.parent))
    else:
        waiting.extend(_library(factory.module, code))
    while waiting:
        file, root = waiting.pop()
        if file in code.files:
            continue
        code.files[file] = root
        for name, relative in _imported(file, root):
            top, here = name.split(".")[0], list(_files_of(root, name))
            if here and not relative and factory.file and root == Path(factory.file).parent:
                code.beside[top] = here[0]
            if here and (relative or top not in sys.stdlib_module_names):
                waiting.extend((each, root) for each in here)
            elif not relative and top not in sys.stdlib_module_names:
                waiting.extend(_library(name, code))
    if shadowed := sorted(code.beside.keys() & sys.stdlib_module_names):
        raise StudyError(
            f"network.factory: {code.beside[shadowed[0]]} has the name of a module of Python's standard library; "
            "rename it"
        )
    return code


def _tree(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes(), file)
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        shown = f": {error.text.strip()}" if error.text and error.text.strip() else ""
        raise StudyError(f"network.factory: {file}{line}: {error.msg}{shown}") from None
    except (OSError, ValueError) as error:
        raise StudyError(f"network.factory: {file} can't be read ({error})") from None


def _imported(file: Path, root: Path) -> Iterator[tuple[str, bool]]:
    """Yield the dotted names of the modules that a file may import, and whether the import is relative.

    A relative name is given from `root` on.
    """
    for node in statements(_tree(file)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = [node.module] if node.module else []
            if node.level:
                # In a file that is in no package, `from .x import y` means its own folder.
                base = file.parent
                for _ in range(node.level - 1):
                    base = base.parent
                if not base.is_relative_to(root):
                    continue
                parts = [*base.relative_to(root).parts, *parts]
            name = ".".join(parts)
            names = [f"{name}.{alias.name}" if name else alias.name for alias in node.names if alias.name != "*"]
            yield from ((each, node.level > 0) for each in ([name] if name else []) + names)


def _files_of(root: Path, name: str) -> Iterator[Path]:
    """Yield the files below a folder that an import of a dotted name runs: those of the packages, then the module."""
    place = root
    for part in name.split("."):
        place = place / part
        for file in (place / "__init__.py", place.with_name(f"{part}.py")):
            if file.is_file():
                yield file
                break


def _library(name: str, code: Code) -> list[tuple[Path, Path]]:
    """Note an installed library in `code`, or return the files of one that is not installed, with their folder."""
    top = name.split(".")[0]
    place = _place_of(top)
    if place is None or INSTALLED & set(place.parts):
        code.libraries.add(top)
        return []
    return [(file, place) for file in _files_of(place, name)]


@functools.cache
def _place_of(top: str) -> Path | None:
    """Return the folder that a top-level module lies in; None if it is not there or is no file (built in)."""
    # Finders of editable installations too. A top-level name is found without importing anything.
    specs = (finder.find_spec(top, None) for finder in sys.meta_path if hasattr(finder, "find_spec"))
    spec = next((spec for spec in specs if spec is not None), None)
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).absolute().parent
    return Path(spec.origin).absolute().parent if spec.has_location else None


@functools.cache
def _version(library: str) -> str:
    """Return the version of a library by its import name; empty if it is not installed."""
    if known := version(library):
        return known
    names = metadata.packages_distributions().get(library, [])
    return " ".join(metadata.version(name) for name in sorted(set(names)))


def _require_defined(factory: Factory, tree: ast.Module) -> None:
    """Raise StudyError if a file does not define the function, as far as its text says."""
    names = list(_names(tree.body))
    if factory.function in names or {"*", "__getattr__"} & set(names):
        return
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    near = difflib.get_close_matches(factory.function, functions, n=3) or functions[:10]
    has = f"; it has {', '.join(near)}" if near else ""
    raise StudyError(f"network.factory: {factory.file} has no function {factory.function}{has}")


def _names(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the names that the statements of a module define, also inside `if`, `try` and the like."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        else:
            yield from (p.id for p in ast.walk(node) if isinstance(p, ast.Name) and isinstance(p.ctx, ast.Store))
            for field in ("body", "orelse", "handlers", "finalbody"):
                inner = getattr(node, field, [])
                yield from _names([each for each in inner if isinstance(each, ast.stmt | ast.excepthandler)])
