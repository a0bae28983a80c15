"""Find the code that a script runs. Snakemake does not see imports, so the rules pass it a digest of this code."""

import ast
import functools
import hashlib
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from prunecurve.provenance import SEPARATOR

PACKAGE = "prunecurve"
# Modules that read, write, log, declare keys of the config or parse options. No number of a result is computed in them,
# so an edit to them is not a reason to train networks again. Of each of them the digest includes only the constant
# FORMAT, if there is one: it must get another value when an edit changes the bytes that are written or the values that
# are read. tests/test_files.py holds the bytes of each kind of file together with the FORMAT of files.py. All other
# modules are included in full.
NOT_COMPUTED_WITH = frozenset(
    {
        "commandline.py",
        "data/datasets/__init__.py",
        "data/datasets/digests.py",
        "data/parameters.py",
        "errors.py",
        "files.py",
        "model/factory.py",
        "model/factory_source.py",
        "training/learned.py",
        "model/model_file.py",
        "model/parameters.py",
        "progress.py",
        "provenance.py",
        "sections.py",
    }
)
FORMAT = "FORMAT"
# Libraries that only check values.
CHECKING = frozenset({"pydantic"})
# Libraries whose name on the package index differs from the name in the import statement.
INSTALLED_AS = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml"}


def files_of(script: str | Path, *plugins: str) -> list[Path]:
    """Return the sorted paths of the script and of all package files that it imports, directly or indirectly.

    Imports inside functions count too. plugins: dotted names (`ranking.criteria.l1_norm`) of modules that the script
    imports by name at run time. `data.tasks.pairs:inputs,require` means these functions of the module alone, with all
    that they use.
    """
    return sorted(_parts_of(script, *plugins))


def _parts_of(script: str | Path, *plugins: str) -> dict[Path, str]:
    """Return the files of `files_of` with the functions that are used of each, as in a plugin; empty for all."""
    scripts = Path(script).parent
    waiting = [(Path(script), "")]
    for module, _, functions in (name.partition(":") for name in plugins):
        waiting.append((scripts / PACKAGE / f"{module.replace('.', '/')}.py", functions))
    parts: dict[Path, str] = {}
    while waiting:
        file, functions = waiting.pop()
        # A file that is used in full and in part counts in full.
        if file not in parts or (parts[file] and not functions):
            parts[file] = functions
            waiting.extend((imported, "") for imported in _imports(file, scripts, functions))
    return parts


@functools.cache
def digest(script: str | Path, *plugins: str) -> str:
    """Return 16 hexadecimal digits of a hash over the names and the code of `files_of` and the library versions.

    Comments, docstrings and the layout of the code are left out. The versions are those of the libraries that the files
    import. A different digest means that the script may compute something different.
    """
    scripts = Path(script).parent
    content = hashlib.sha256()
    parts = sorted(_parts_of(script, *plugins).items())
    for file, functions in parts:
        name = file.relative_to(scripts).as_posix()
        content.update(f"{name}\0{_computed(file, name, functions)}\0".encode())
    for library in sorted({library for file, functions in parts for library in _libraries(file, functions)}):
        content.update(f"{library} {version(library)}\0".encode())
    return content.hexdigest()[:16]


@functools.cache
def version(library: str) -> str:
    """Return the installed version of a library, given its import name; empty if the library is not installed.

    A library can be missing here if jobs run in their own conda environments.
    """
    try:
        return metadata.version(INSTALLED_AS.get(library, library))
    except metadata.PackageNotFoundError:
        return ""


@functools.cache
def _tree(file: Path, functions: str) -> ast.Module:
    """Return the syntax tree of a file; of some functions (`inputs,require`): the statements that they use."""
    tree = ast.parse(file.read_bytes(), file)
    if not functions:
        return tree
    used, before = set(functions.split(",")), set()
    while used != before:
        before = set(used)
        chosen = [node for node in tree.body if used & set(_defined(node))]
        used |= {part.id for node in chosen for part in ast.walk(node) if isinstance(part, ast.Name)}
    return ast.Module(chosen, [])


def _defined(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement at the top of a module defines."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)
    elif isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    else:
        yield from (p.id for p in ast.walk(node) if isinstance(p, ast.Name) and isinstance(p.ctx, ast.Store))


@functools.cache
def _computed(file: Path, name: str, functions: str) -> str:
    """Return the part of a file that results are computed with, as text; `name` is relative to the scripts."""
    tree = _tree(file, functions)
    if not functions and name.removeprefix(f"{PACKAGE}/") in NOT_COMPUTED_WITH:
        return repr([text_of(node) for node in tree.body if _assigns(node, FORMAT)])
    return text_of(tree)


def _assigns(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets)


def text_of(node: object) -> str:
    """Return a syntax tree as text, without positions, comments and strings that are statements (docstrings).

    Empty fields are left out, because newer versions of Python add some: `ast.dump` differs between versions.
    """
    if isinstance(node, ast.AST):
        texts = []
        for name in node._fields:
            if (value := getattr(node, name, None)) is not None and (text := text_of(value)) != "[]":
                texts.append(f"{name}={text}")
        return f"{type(node).__name__}({', '.join(texts)})"
    if isinstance(node, list):
        return f"[{', '.join([text_of(item) for item in node if not _is_remark(item)])}]"
    return repr(node)


def _is_remark(node: object) -> bool:
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
        return False
    return isinstance(node.value.value, str)


@functools.cache
def _imports(file: Path, scripts: Path, functions: str) -> tuple[Path, ...]:
    return tuple(_imported(file, scripts, functions))


@functools.cache
def _import_statements(file: Path, functions: str) -> tuple[ast.Import | ast.ImportFrom, ...]:
    return tuple(node for node in statements(_tree(file, functions)) if isinstance(node, ast.Import | ast.ImportFrom))


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all statements inside a node. Unlike `ast.walk`, skip the many more expressions."""
    for field in ("body", "orelse", "handlers", "finalbody", "cases"):
        # The body of a lambda or of a conditional expression is an expression.
        for statement in getattr(node, field, ()):
            yield statement
            yield from statements(statement)


@functools.cache
def _libraries(file: Path, functions: str) -> frozenset[str]:
    """Return the import names of the libraries that a file uses, without the standard library."""
    names = set()
    for node in _import_statements(file, functions):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return frozenset(names - sys.stdlib_module_names - CHECKING - {PACKAGE})


def _imported(file: Path, scripts: Path, functions: str) -> Iterator[Path]:
    # Importing a module also runs the __init__.py of the packages that contain it.
    yield from (scripts / folder / "__init__.py" for folder in file.relative_to(scripts).parents if folder.name)
    for node in _import_statements(file, functions):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            if name.split(".")[0] == PACKAGE:
                path = scripts.joinpath(*name.split("."))
                yield from (p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file())


def code_setting(script: str | Path, *plugins: str) -> str:
    """The digest of a script's code as a setting that its outputs carry: `code of train: 0123…`."""
    return f"code of {' with '.join([Path(script).stem, *plugins])}{SEPARATOR}{digest(script, *plugins)}"
