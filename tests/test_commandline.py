"""How scripts handle errors and signals: messages, logs, exit codes, no partly written files."""

import signal
import subprocess
import sys
import time

import pytest
from conftest import PROJECT, environment, heeds_interrupts
from prunecurve.commandline import add_section, parser
from prunecurve.training.parameters import Training

SCRIPT = """
import sys, time
sys.path.insert(0, {scripts!r})
from prunecurve.commandline import add_section, parser, run
from prunecurve.errors import StudyError
from prunecurve.files import atomic


def work(arguments):
    with atomic("artifact.npy") as temporary:
        open(temporary, "w").write("half")
        {body}


run(work, parser("a test").parse_args())
"""


def start(folder, body: str, *arguments: str) -> subprocess.Popen:
    (folder / "job.py").write_text(SCRIPT.format(scripts=str(PROJECT / "workflow" / "scripts"), body=body))
    return subprocess.Popen(
        [sys.executable, "job.py", *arguments],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        preexec_fn=heeds_interrupts,
    )


@pytest.mark.parametrize(
    ("body", "message", "traceback"),
    [
        # What the user did: the message says all. What nobody foresaw: the traceback is needed.
        ("raise StudyError('seeds: fix this')", "job: seeds: fix this", False),
        ("1 / 0", "job: ZeroDivisionError: division by zero; the traceback is in job.log", True),
    ],
)
def test_an_error_is_a_message_on_the_terminal_and_in_the_log(tmp_path, body, message, traceback):
    job = start(tmp_path, body, "--log", "job.log")
    _, output = job.communicate()
    assert job.returncode == 1
    assert output.strip() == message
    log = (tmp_path / "job.log").read_text()
    assert message in log and ("Traceback" in log) == traceback
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.log", "job.py"]


def test_a_log_that_cannot_be_written_is_no_second_error(tmp_path):
    """On a full disk only the error's own message is printed."""
    job = start(tmp_path, "raise StudyError('seeds: fix this')", "--log", "/dev/full")
    assert job.communicate()[1].strip() == "job: seeds: fix this"
    assert job.returncode == 1


def test_without_a_log_the_traceback_is_on_the_terminal(tmp_path):
    job = start(tmp_path, "1 / 0")
    assert "Traceback" in job.communicate()[1]
    assert job.returncode == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_no_half_written_file(tmp_path, number):
    job = start(tmp_path, "time.sleep(60)", "--log", "job.log")
    while not list(tmp_path.glob(".unfinished-*-artifact.npy")):
        assert job.poll() is None
        time.sleep(0.01)
    job.send_signal(number)
    _, output = job.communicate(timeout=20)
    assert (job.returncode, output.strip()) == (130, "job: interrupted")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.log", "job.py"]


def test_a_section_of_the_config_is_an_option(capsys):
    cli = parser("a test")
    add_section(cli, "--training", Training, "the config section training")
    assert "keys: epochs, batch_size" in " ".join(cli.format_help().split())
    assert cli.parse_args(["--training", '{"epochs": 3, "same_weight": 2}']).training == Training(
        epochs=3, same_weight=2.0
    )
    assert cli.parse_args([]).training == Training()
    for text, message in (
        ('{"epochs": "x"}', "Input should be a valid integer"),
        ('{"epoch": 3}', "epoch"),
        ("3", "object"),
    ):
        with pytest.raises(SystemExit):
            cli.parse_args(["--training", text])
        assert message in capsys.readouterr().err


def variables_of(**given: str) -> list[str]:
    """Return the thread settings that a script's process has when it imports numpy and torch."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    code = f"import os, prunecurve; print(*(os.environ.get(name, '-') for name in {names}))"
    clean = {name: value for name, value in environment().items() if name not in names}
    scripts = PROJECT / "workflow" / "scripts"
    return subprocess.check_output([sys.executable, "-c", code], cwd=scripts, env=clean | given, text=True).split()


def test_threads_that_wait_do_not_spin_unless_the_user_says_otherwise():
    assert variables_of() == ["1", "1", "1", "0", "-"]
    assert variables_of(OPENBLAS_NUM_THREADS="8", OMP_NUM_THREADS="8", GOMP_SPINCOUNT="7") == ["1", "1", "1", "7", "-"]
    assert variables_of(OMP_WAIT_POLICY="PASSIVE") == ["1", "1", "1", "-", "PASSIVE"]
