"""The digest of the code that a script runs: compared with Python's real imports, and after edits."""

import shutil
import subprocess
import sys
from importlib import metadata

import pytest
from conftest import PROJECT
from prunecurve.data.datasets import MODULES
from prunecurve.source import NOT_COMPUTED_WITH, digest, files_of, version

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
    names = {p.name for p in files_of(SCRIPTS / "plot.py", "figures.network.mean_feature_maps_shared_scale")}
    assert {"mean_feature_maps_shared_scale.py", "mean_feature_maps.py", "style.py"} <= names
    assert "accuracy_vs_k.py" not in names


def test_a_backend_counts_only_where_it_is_used():
    """That of torch brings the code that finds layers; numpy's does not, nor do rankings that use numpy's losses."""
    for script, numpy, torch in (
        ("eval_pruned", "sweep.backends.numpy_backend", "sweep.backends.torch_backend"),
        ("rank_channels", "ranking.numpy_losses", "ranking.torch_losses"),
    ):
        own, other = ({p.name for p in files_of(SCRIPTS / f"{script}.py", name)} for name in (numpy, torch))
        assert "head.py" in own and not {"layers.py", "conv_net.py", "torch_backend.py"} & own
        assert {"layers.py", "conv_net.py", "torch_backend.py"} < other and "numpy_losses.py" not in other
    with_greedy = files_of(SCRIPTS / "rank_channels.py", "ranking.criteria.greedy", "ranking.numpy_losses")
    assert not {"layers.py", "torch_losses.py"} & {p.name for p in with_greedy}


def test_an_evaluation_imports_numpy_and_no_more():
    code = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); sys.argv = ['eval_pruned', '--help']\n"
    code += "import prunecurve.sweep.backends.numpy_backend\n"
    code += "import prunecurve.data.tasks.pairs, prunecurve.data.tasks.classes\n"
    code += "import runpy; runpy.run_path(sys.path[0] + '/eval_pruned.py')"
    imported = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True).stderr
    modules = {line.split("|")[-1].strip() for line in imported.splitlines()}
    packages = {module.split(".")[0] for module in modules}
    assert "numpy" in packages
    assert not packages & {"torch", "pandas", "matplotlib", "scipy", "sklearn", "PIL", "yaml", "pydantic"}
    assert "numpy.random" not in modules, "a tenth of the time of a job"


def test_another_version_of_a_library_changes_the_digest_of_what_imports_it(monkeypatch):
    names = ["train", "eval_pruned", "verify_surgery", "plot", "sum_channels"]

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
    assert changed("pydantic") == set(), "it checks values"
    assert digests() == before


# freeze knows the code of all stages.
COMPARED = [name for name in NAMES if name not in ("freeze", "document_config")]


@pytest.fixture
def changed(tmp_path):
    """Return a function (file, edit) that edits a copy of the scripts and returns the scripts whose digest changed."""

    def changed_by(file: str, edit) -> set[str]:
        # Each copy has its own folder, because a file is read only once.
        copy = tmp_path / f"copy{len(list(tmp_path.iterdir()))}"
        shutil.copytree(SCRIPTS, copy)
        before = (copy / file).read_text()
        after = edit(before)
        assert after != before
        (copy / file).write_text(after)
        return {n for n in COMPARED if digest(copy / f"{n}.py") != digest(SCRIPTS / f"{n}.py")}

    return changed_by


def with_statement(text: str) -> str:
    return f"{text}\nEDITED = True\n"


def replaced(old: str, new: str):
    return lambda text: text.replace(old, new, 1)


def test_an_edit_changes_the_digest_of_what_uses_it_alone(changed):
    assert changed("prunecurve/training/scores.py", with_statement) == {"train"}
    assert "train" in changed("prunecurve/data/basic_metrics.py", with_statement)
    cut = {"verify_surgery", "plan_costs", "evaluate_plan", "describe_network"}
    assert changed("prunecurve/verification/surgery.py", with_statement) == cut
    assert changed("prunecurve/data/datasets/image_set.py", with_statement) == {"get_images"}
    assert changed("prunecurve/ranking/criteria/__init__.py", with_statement) == {"rank_channels"}
    assert changed("plot.py", with_statement) == {"plot"}


def test_an_edited_key_of_the_config_trains_nothing_again(changed):
    """Jobs get the values as parameters; defaults, bounds and descriptions are not part of the digest."""
    default = replaced("learning_rate: float = Field(0.001", "learning_rate: float = Field(0.002")
    assert changed("prunecurve/model/parameters.py", default) == set()
    assert changed("prunecurve/data/parameters.py", replaced("Number or share of training", "Number of")) == set()
    assert changed("prunecurve/config/model.py", replaced("dpi: int = Field(300", "dpi: int = Field(200")) == set()


@pytest.mark.parametrize("module", sorted(set(MODULES.values())))
def test_an_edit_of_a_data_set_reads_only_this_data_set_again(tmp_path, module):
    shutil.copytree(SCRIPTS, tmp_path / "copy")
    with (tmp_path / "copy" / "prunecurve" / "data" / "datasets" / f"{module}.py").open("a") as file:
        file.write("EDITED = True\n")

    def digests(scripts):
        return {name: digest(scripts / "get_images.py", f"data.datasets.{reader}") for name, reader in MODULES.items()}

    before, after = digests(SCRIPTS), digests(tmp_path / "copy")
    assert {name for name in MODULES if after[name] != before[name]} == {n for n, m in MODULES.items() if m == module}
    assert digest(tmp_path / "copy" / "get_images.py") == digest(SCRIPTS / "get_images.py")


def digests_of_tasks(scripts) -> dict[tuple[str, str], str]:
    """Return the digests that the rules use, by script and task."""
    parts = {"make_pairs": ":require,inputs", "eval_pruned": "", "train": None, "summarise": ""}
    return {
        (name, task): digest(scripts / f"{name}.py", *([] if part is None else [f"data.tasks.{task}{part}"]))
        for name, part in parts.items()
        for task in ("pairs", "classes")
    }


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (
            replaced("        **counts,\n", '        **counts,\n        "n": len(labels),\n'),
            {"eval_pruned", "summarise"},
        ),
        (replaced("same + 1 and others", "same + 2 and others"), {"make_pairs", "eval_pruned", "summarise"}),
        (replaced("drawn += drawn >=", "drawn += drawn >"), {"make_pairs", "eval_pruned", "summarise"}),
    ],
    ids=["a metric", "a requirement", "the inputs"],
)
def test_an_edit_to_a_task_concerns_this_task_and_trains_again_only_for_other_inputs(tmp_path, edit, expected):
    copy, before = tmp_path / "copy", digests_of_tasks(SCRIPTS)
    shutil.copytree(SCRIPTS, copy)
    file = copy / "prunecurve" / "data" / "tasks" / "pairs.py"
    file.write_text(edit(file.read_text()))
    after = digests_of_tasks(copy)
    assert {key for key in before if before[key] != after[key]} == {(name, "pairs") for name in expected}


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
    assert changed("prunecurve/training/scores.py", lambda text: edit(text) + "\n") == set()


@pytest.mark.parametrize(
    ("old", "new"),
    [("1 / len", "2 / len"), ("np.maximum(", "np.minimum("), ("inputs, correct, _ =", "correct, inputs, _ =")],
)
def test_the_smallest_change_of_the_code_changes_the_digest(changed, old, new):
    assert "train" in changed("prunecurve/training/scores.py", replaced(old, new))


def test_modules_that_only_read_and_write_are_listed_and_count_by_their_format(changed):
    """Add a module here only if no number of a result is computed in it."""
    assert {
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
    } == NOT_COMPUTED_WITH
    for name in NOT_COMPUTED_WITH:
        assert (SCRIPTS / "prunecurve" / name).is_file()
        assert changed(f"prunecurve/{name}", with_statement) == set()
    # Not document_config and compare_studies: the first is not in COMPARED, the second writes nothing.
    assert changed("prunecurve/files.py", replaced("FORMAT = 1", "FORMAT = 99")) >= set(COMPARED) - {"compare_studies"}
