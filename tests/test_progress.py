"""Progress that is read from the logs of running jobs."""

import os
import time

import pytest
from prunecurve.progress import Follower


@pytest.fixture
def follower(tmp_path):
    shown = []
    made = Follower([str(tmp_path / "seed*" / "train.log")], shown.append)
    made.shown = shown
    return made


def line(message: str, level: str = "INFO") -> str:
    return f"2026-11-25 10:00:00,123 {level} {message}\n"


def test_new_messages_are_shown_once_and_complete(tmp_path, follower):
    log = tmp_path / "seed0" / "train.log"
    log.parent.mkdir()
    follower.start()
    with log.open("w") as file:
        for part in (line("epoch 1"), line("epoch 2")[:30], line("epoch 2")[30:], "Traceback: no message\n"):
            file.write(part)
            file.flush()
            time.sleep(0.6)
        file.write(line("a warning", "WARNING") + line("the script prints errors itself", "ERROR"))
    (tmp_path / "seed1").mkdir()
    (tmp_path / "seed1" / "train.log").write_text(line("another network"))
    follower.stop()
    assert follower.shown == ["epoch 1", "epoch 2", "a warning", "another network"]
    follower.stop()


def test_logs_of_earlier_runs_are_not_shown_and_a_log_that_begins_anew_is(tmp_path, follower):
    old = tmp_path / "seed0" / "train.log"
    old.parent.mkdir()
    old.write_text(line("yesterday") * 3)
    os.utime(old, (time.time() - 3600,) * 2)
    follower.start()
    time.sleep(0.7)
    old.unlink()
    old.write_text(line("today"))
    time.sleep(0.7)
    old.write_text(line("now"))
    follower.stop()
    assert follower.shown == ["today", "now"]


def test_of_many_messages_in_a_pause_the_last_and_warnings_are_shown(tmp_path):
    shown = []
    follower = Follower([str(tmp_path / "train.log")], shown.append, pause=3600)
    follower.start()
    with (tmp_path / "train.log").open("w") as file:
        for epoch in range(4):
            file.write(line(f"epoch {epoch}") + (line("careful", "WARNING") if epoch == 2 else ""))
            file.flush()
            time.sleep(0.6)
    assert shown == ["epoch 0", "careful"]
    follower.stop()
    assert shown == ["epoch 0", "careful", "epoch 3"]


def test_a_run_that_fails_before_it_starts_may_stop_it(follower):
    follower.stop()
    assert follower.shown == []
