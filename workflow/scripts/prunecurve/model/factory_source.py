"""The code of a user's network: which files and libraries its function needs, and their digest. Nothing is imported."""

import ast
import difflib
import importlib.util
import sys
from pathlib import Path

from prunecurve import provenance
from prunecurve.errors import StudyError
from prunecurve.model.factory import Factory
from prunecurve.provenance import SEPARATOR, code
from prunecurve.provenance.code import Code

INSTALLED = {"site-packages", "dist-packages"}


def code_settings_of(factory: Factory) -> list[str]:
    """Return the digest of the code of a user's network, and the libraries that it needs, as settings of outputs.

    Libraries have a setting of their own: jobs in conda environments have others than the process that plans them.
    """
    versions = sorted(f"{library} {code.version(library)}".strip() for library in code_of(factory).libraries)
    return [_code_setting(factory), f"code of network.factory's libraries{SEPARATOR}{', '.join(versions)}"]


def _code_setting(factory: Factory) -> str:
    return f"code of network.factory{SEPARATOR}{digest_of(factory)}"


def digest_of(factory: Factory) -> str:
    """Return 16 hexadecimal digits of a hash over the code of a user's network.

    That is the code of the function's file and of all that it imports from its folder. Libraries count by their
    versions, in a setting of their own. Raises StudyError as `code_of`.
    """
    return code.digest(code_of(factory).files, _start(factory)[1])


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
    """Return the code that a function needs; of a function of an installed package, only this library.

    Raises StudyError with one line that names network.factory: if the file is missing or does not define the function,
    if a file has a syntax error (with file and line), or if a file in its folder has the name of a standard module.
    """
    files, root = _start(factory)
    if not files:
        return Code(set(), {factory.module.split(".")[0]}, {})
    if not files[-1].is_file():
        raise StudyError(f"network.factory: there is no file {factory.file}")
    try:
        if factory.file:
            _require_defined(factory, ast.parse(files[0].read_bytes(), files[0]))
        needed = code.code_of(files, root)
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        shown = f": {error.text.strip()}" if error.text and error.text.strip() else ""
        raise StudyError(f"network.factory: {error.filename}{line}: {error.msg}{shown}") from None
    except (OSError, ValueError) as error:
        raise StudyError(f"network.factory: {files[-1]}, or a file that it imports, cannot be read ({error})") from None
    shadowed = sorted(needed.beside.keys() & sys.stdlib_module_names)
    if factory.file and shadowed:
        raise StudyError(
            f"network.factory: {needed.beside[shadowed[0]]} has the name of a module of Python's standard library; "
            "rename it"
        )
    return needed


def _start(factory: Factory) -> tuple[list[Path], Path]:
    """Return the files that an import of the function runs, and the folder that their imports are looked up in first.

    There are none for an installed package. One on PYTHONPATH or installed as editable has files like a user's own.
    """
    if factory.file:
        return [Path(factory.file)], Path(factory.file).parent
    # A top-level module is found without importing anything.
    spec = importlib.util.find_spec(factory.module.split(".")[0])
    places = [*(spec.submodule_search_locations or []), spec.origin or ""] if spec else [""]
    root = Path(places[0]).absolute().parent
    return [] if not spec or INSTALLED & set(root.parts) else code.files_of(root, factory.module), root


def _require_defined(factory: Factory, tree: ast.Module) -> None:
    """Raise StudyError if a file nowhere defines the name of the function."""
    functions, others = [], set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            functions.append(node.name)
        elif isinstance(node, ast.alias):
            others.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            others.add(node.id)
    if not {factory.function, "*", "__getattr__"} & {*functions, *others}:
        near = difflib.get_close_matches(factory.function, functions, n=3) or functions[:10]
        has = f"; it has {', '.join(near)}" if near else ""
        raise StudyError(f"network.factory: {factory.file} has no function {factory.function}{has}")
