"""The digest of the code that a script runs: compared with Python's real imports, and after edits."""

import shutil
import subprocess
import sys
from importlib import metadata

import pytest
from conftest import PROJECT
from prunecurve.source import digest, files_of, version

SCRIPTS = PROJECT / "workflow" / "scripts"
NAMES = sorted(path.stem for path in SCRIPTS.glob("*.py"))

# Imports the script without running it, and prints the files of the package that were imported.
PROBE = """
import runpy, sys
runpy.run_path(sys.argv[1], run_name="probe")
print(*(m.__file__ for n, m in sys.modules.items() if n.split(".")[0] == "prunecurve"), sep="\\n")
"""


@pytest.mark.parametrize("name", NAMES)
def test_all_that_is_imported_is_listed(name):
    script = SCRIPTS / f"{name}.py"
    imported = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); {PROBE}", str(script)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    listed = {str(path) for path in files_of(script)}
    assert set(imported) <= listed
    assert str(script) in listed


def test_plugins_are_followed():
    names = {p.name for p in files_of(SCRIPTS / "plot.py", "figures.of_network.mean_feature_maps_shared_scale")}
    assert {"mean_feature_maps_shared_scale.py", "mean_feature_maps.py", "style.py"} <= names
    assert "accuracy_vs_k.py" not in names


def test_an_evaluation_imports_numpy_and_no_more():
    imported = subprocess.run(
        [sys.executable, "-X", "importtime", str(SCRIPTS / "eval_pruned.py"), "--help"], capture_output=True, text=True
    ).stderr
    packages = {line.split("|")[-1].strip().split(".")[0] for line in imported.splitlines()}
    assert "numpy" in packages
    assert not packages & {"torch", "pandas", "matplotlib", "scipy", "sklearn", "PIL", "yaml", "jsonschema"}


def test_another_version_of_a_library_changes_the_digest_of_what_imports_it(monkeypatch):
    names = ["train", "eval_pruned", "verify_surgery", "plot", "reverse_ranking"]

    def digests():
        digest.cache_clear()
        version.cache_clear()
        return {name: digest(SCRIPTS / f"{name}.py") for name in names}

    before, installed = digests(), metadata.version
    assert version("PIL") == installed("pillow") and version("no_such_library") == ""

    def changed(upgraded):
        monkeypatch.setattr(metadata, "version", lambda name: "99" if name == upgraded else installed(name))
        found = digests()
        monkeypatch.undo()
        return {name for name in names if found[name] != before[name]}

    assert changed("torch") == {"train", "verify_surgery"}
    assert changed("pandas") == {"plot"}
    assert changed("numpy") == set(names)
    assert digests() == before


def test_an_edit_changes_the_digest_of_what_uses_it_alone(tmp_path):
    shutil.copytree(SCRIPTS, tmp_path / "scripts")
    # freeze knows the code of all stages.
    names = [n for n in NAMES if n not in ("freeze", "document_config")]

    def digests():
        digest.cache_clear()
        # Each copy has its own folder, because the contents of a path are read only once.
        return {name: digest(tmp_path / "scripts" / f"{name}.py") for name in names}

    def edited(file):
        copy = tmp_path / f"edited-{file.replace('/', '-')}"
        shutil.copytree(SCRIPTS, copy)
        with (copy / file).open("a") as text:
            text.write("\n# edited\n")
        return {name: digest(copy / f"{name}.py") for name in names}

    before = digests()
    assert before == {name: digest(SCRIPTS / f"{name}.py") for name in names}

    def changed(file):
        return {name for name, value in edited(file).items() if value != before[name]}

    assert changed("prunecurve/metrics.py") == {"train", "eval_pruned", "eval_early", "verify_surgery"}
    assert changed("prunecurve/surgery.py") == {"verify_surgery"}
    assert changed("prunecurve/datasets/folder.py") == {"get_images"}
    assert changed("prunecurve/datasets/known.py") == set(), "it is used before any job runs"
    assert changed("prunecurve/criteria/__init__.py") == {"rank_channels"}
    assert changed("plot.py") == {"plot"}
    assert changed("prunecurve/files.py") == set(names)
