"""How scripts handle errors and signals: messages, logs, exit codes, no partly written files."""

import dataclasses
import signal
import subprocess
import sys
import time

import pytest
from conftest import PROJECT, environment, heeds_interrupts
from prunecurve.commandline import parser
from prunecurve.settings import add_fields, fields_of

SCRIPT = """
import sys, time
sys.path.insert(0, {scripts!r})
from prunecurve.commandline import parser, run
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
    ("body", "message", "logged"),
    [
        # What the user did: the message says all. What nobody foresaw: the traceback is needed.
        ("raise StudyError('seeds: fix this')", "job: seeds: fix this", "raised at job.py, line 12, in work"),
        ("raise StudyError('no') from ValueError('why')", "job: no", "in work, after ValueError"),
        ("1 / 0", "job: ZeroDivisionError: division by zero; the traceback is in job.log", "Traceback (most recent"),
    ],
)
def test_an_error_is_a_message_on_the_terminal_and_its_origin_in_the_log(tmp_path, body, message, logged):
    job = start(tmp_path, body, "--log", "job.log")
    _, output = job.communicate()
    assert job.returncode == 1
    assert output.strip() == message
    log = (tmp_path / "job.log").read_text()
    assert message in log and logged in log
    assert ("Traceback" in log) == logged.startswith("Traceback")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.log", "job.py"]


def test_a_log_that_cannot_be_written_is_no_second_error(tmp_path):
    """On a full disk only the error's own message is printed. If the log cannot be created, the work does not start."""
    job = start(tmp_path, "raise StudyError('seeds: fix this')", "--log", "/dev/full")
    assert job.communicate()[1].strip() == "job: seeds: fix this"
    assert job.returncode == 1
    job = start(tmp_path, "print('begun')", "--log", "/proc/job.log")
    output = job.communicate()[1]
    assert output.startswith("job: ") and "/proc/job.log" in output and "Traceback" not in output
    assert job.returncode == 1


def test_without_a_log_the_traceback_is_on_the_terminal(tmp_path):
    job = start(tmp_path, "1 / 0")
    assert "Traceback" in job.communicate()[1]
    assert job.returncode == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_no_half_written_file(tmp_path, number, code):
    job = start(tmp_path, "time.sleep(60)", "--log", "job.log")
    while not list(tmp_path.glob(".unfinished-*-artifact.npy")):
        assert job.poll() is None
        time.sleep(0.01)
    job.send_signal(number)
    _, output = job.communicate(timeout=20)
    assert (job.returncode, output.strip()) == (code, "job: interrupted")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.log", "job.py"]


@dataclasses.dataclass(frozen=True)
class Settings:
    epochs: int
    widths: tuple[int, ...]
    rate: float = 0.5
    swap: bool = False


def test_options_from_a_dataclass():
    cli = parser("a test")
    add_fields(cli, Settings, leave_out=("epochs",))
    arguments = cli.parse_args(["--widths", "3", "4", "--swap", "True"])
    assert fields_of(Settings, arguments, epochs=7) == Settings(7, (3, 4), 0.5, True)


@pytest.mark.parametrize("words", ["--widths 3", "--epochs 3 --widths a", "--epochs 3 --widths 3 --swap maybe"])
def test_wrong_options_are_refused(words):
    cli = parser("a test")
    add_fields(cli, Settings)
    with pytest.raises(SystemExit):
        cli.parse_args(words.split())
