"""The digest of the code that a script runs: compared with Python's real imports, and after edits."""

import shutil
import subprocess
import sys
from importlib import metadata

import pytest
from conftest import PROJECT
from prunecurve.data.datasets import MODULES
from prunecurve.provenance.code import code_of, code_setting, files_of, version

SCRIPTS = PROJECT / "workflow" / "scripts"
NAMES = sorted(path.stem for path in SCRIPTS.glob("*.py"))

# Imports the script without running it, and prints the files of the package that were imported.
PROBE = """
import runpy, sys
runpy.run_path(sys.argv[1], run_name="probe")
print(*(m.__file__ for n, m in sys.modules.items() if n.split(".")[0] == "prunecurve"), sep="\\n")
"""


def code(script: str, *plugins: str):
    files = [file for name in plugins for file in files_of(SCRIPTS, f"prunecurve.{name}")]
    return code_of([SCRIPTS / f"{script}.py", *files], SCRIPTS)


@pytest.mark.parametrize("name", NAMES)
def test_all_that_is_imported_is_listed(name):
    script = SCRIPTS / f"{name}.py"
    imported = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); {PROBE}", str(script)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    # Rules name the module of the data set and of the task.
    imported = [path for path in imported if "/data/" not in path]
    readers = [f"data.datasets.{module}" for module in MODULES.values()] if name == "get_images" else []
    assert {*imported, str(script)} <= {str(path) for path in code(name, *readers).files}


def test_modules_that_are_imported_by_name_bring_what_they_import():
    names = {path.name for path in code("plot", "figures.network.mean_feature_maps_shared_scale").files}
    assert {"mean_feature_maps_shared_scale.py", "mean_feature_maps.py", "style.py"} <= names
    assert "accuracy_vs_k.py" not in names


def test_a_backend_counts_only_where_it_is_used():
    """That of torch brings the code that finds layers; numpy's does not, nor do rankings that use numpy's losses."""
    for script, numpy, torch in (
        ("eval_pruned", "sweep.backends.numpy_backend", "sweep.backends.torch_backend"),
        ("rank_channels", "ranking.numpy_losses", "ranking.torch_losses"),
    ):
        own, other = ({path.name for path in code(script, name).files} for name in (numpy, torch))
        assert "numpy_backend.py" in own and not {"layers.py", "conv_net.py", "torch_backend.py"} & own
        assert {"layers.py", "conv_net.py", "torch_backend.py"} < other and "numpy_losses.py" not in other


def test_an_evaluation_imports_numpy_and_no_more():
    code = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); sys.argv = ['eval_pruned', '--help']\n"
    code += "import prunecurve.sweep.backends.numpy_backend\n"
    code += "import prunecurve.data.tasks.pairs.metrics, prunecurve.data.tasks.classes.metrics\n"
    code += "import runpy; runpy.run_path(sys.path[0] + '/eval_pruned.py')"
    imported = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True).stderr
    modules = {line.split("|")[-1].strip() for line in imported.splitlines()}
    packages = {module.split(".")[0] for module in modules}
    assert "numpy" in packages
    assert not packages & {"torch", "pandas", "matplotlib", "scipy", "sklearn", "PIL", "yaml", "pydantic", "json"}
    assert not packages & {"hashlib", "lzma", "filecmp"}
    assert "numpy.random" not in modules, "a tenth of the time of a job"


def test_another_version_of_a_library_changes_the_digest_of_what_imports_it(monkeypatch):
    plugins = {"eval_pruned": ("sweep.backends.numpy_backend", "data.tasks.pairs.metrics")}
    names = ["train", "eval_pruned", "verify_surgery", "plot", "sum_channels"]

    def digests():
        code_setting.cache_clear()
        version.cache_clear()
        return {name: code_setting(SCRIPTS / f"{name}.py", *plugins.get(name, ())) for name in names}

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
    assert changed("pydantic") == set(), "it checks values"
    assert digests() == before


@pytest.fixture
def changed(tmp_path):
    """Return a function (file, edit) that edits a copy of the scripts and returns the settings that change.

    The settings are those of all scripts but freeze and document_config, which know the code of all stages.
    """

    def changed_by(file: str, edit, **plugins: str) -> set[str]:
        copy = tmp_path / f"copy{len(list(tmp_path.iterdir()))}"
        shutil.copytree(SCRIPTS, copy)
        before = (copy / file).read_text() if (copy / file).exists() else ""
        after = edit(before)
        assert after != before
        (copy / file).write_text(after)
        compared = [(name,) for name in NAMES if name not in ("freeze", "document_config")]
        compared = [*plugins.items()] if plugins else compared
        return {n for n, *p in compared if code_setting(copy / f"{n}.py", *p) != code_setting(SCRIPTS / f"{n}.py", *p)}

    return changed_by


def with_statement(text: str) -> str:
    return f"{text}\nEDITED = True\n"


def replaced(old: str, new: str):
    return lambda text: text.replace(old, new, 1)


def test_an_edit_changes_the_digest_of_what_uses_it_alone(changed):
    assert changed("prunecurve/training/training.py", with_statement) == {"train", "retrain"}
    assert "train" in changed("prunecurve/data/basic_metrics.py", with_statement)
    cut = {"verify_surgery", "plan_costs", "evaluate_plan", "describe_network", "retrain"}
    assert changed("prunecurve/verification/surgery.py", with_statement) == cut
    assert changed("prunecurve/data/splits.py", with_statement) == {"make_pairs", "get_images", "compare_networks"}
    assert changed("prunecurve/data/datasets/pixels.py", with_statement) == {"get_images"}
    assert changed("plot.py", with_statement) == {"plot"}
    # Of the smallest edit; not of the description of a key.
    assert "train" in changed("prunecurve/training/learned.py", replaced("1 / classes", "2 / classes"))
    assert changed("prunecurve/data/parameters.py", replaced("Number or share of training", "Number of")) == set()
    # All that read and write files import this one.
    assert changed("prunecurve/files.py", with_statement) >= {"train", "eval_pruned", "plot"}


def test_a_plug_in_counts_only_where_it_is_named(changed):
    for file, own, other in (
        ("ranking/criteria/apoz", {"rank_channels": "ranking.criteria.apoz"}, "ranking.criteria.entropy"),
        ("data/tasks/pairs/metrics", {"eval_pruned": "data.tasks.pairs.metrics"}, "data.tasks.pairs.inputs"),
        ("data/tasks/pairs/inputs", {"train": "data.tasks.pairs.inputs"}, "data.tasks.classes.inputs"),
        ("data/datasets/published", {"get_images": "data.datasets.published"}, "data.datasets.arrays"),
    ):
        path, (script,) = f"prunecurve/{file}.py", own
        assert changed(path, with_statement, **own) == {script}
        assert changed(path, with_statement, **{script: other}) == set()
        assert changed(path, with_statement) == set()
    assert changed("prunecurve/ranking/criteria/new.py", with_statement) == set(), "a new criterion"
    assert changed("prunecurve/ranking/criteria/__init__.py", with_statement) == {"rank_channels"}


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: f"# A comment.\n{text}\n# Another.\n",
        replaced('"""', '"""Another docstring. '),
        replaced('    """Return', '    """Also return'),
        replaced("(logits: np.ndarray, labels", "(\n    logits: np.ndarray,  # of the inputs\n    labels"),
        lambda text: text.replace("'", '"'),
    ],
    ids=["comments", "docstring of the module", "docstring of a function", "layout", "quotes"],
)
def test_comments_docstrings_and_layout_do_not_change_the_digest(changed, edit):
    assert changed("prunecurve/training/learned.py", lambda text: edit(text) + "\n") == set()
