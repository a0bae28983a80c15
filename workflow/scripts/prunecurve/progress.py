"""Progress of running jobs, read from their logs: jobs that wrote to the terminal would break its live display."""

import glob
import math
import os
import re
import threading
import time
from collections.abc import Callable, Sequence

# A line of a script's log that the reader should see: date, time, level, message. Scripts print errors themselves, and
# where an error was raised is for the log alone.
SHOWN = re.compile(r"\d{4}-\d\d-\d\d \S+ (INFO|WARNING) (?!raised at )(.*)")
SECONDS = 0.5


class Follower:
    """Reads new lines of log files in a thread and passes their messages on, until it is stopped."""

    def __init__(self, patterns: Sequence[str], show: Callable[[str], None], pause: float = 0) -> None:
        """patterns: glob patterns of log files; show: gets each message.

        pause: seconds between two messages of one file; of those in between the last is shown. Warnings always are.
        """
        self.patterns, self.show, self.pause = patterns, show, pause
        # By path (and inode): the place up to which a file was read; the time of its last message; a message that waits
        # for the pause to end.
        self.places: dict[tuple[str, int], int] = {}
        self.shown_at: dict[str, float] = {}
        self.waiting: dict[str, str] = {}
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin with what is written from now on: the logs of earlier runs are not shown again."""
        self.began = time.time()
        self.thread.start()

    def stop(self) -> None:
        """Show the last messages and end the thread."""
        self.ended.set()
        if self.thread.is_alive():
            self.thread.join()

    def _run(self) -> None:
        while not self.ended.wait(SECONDS):
            self._step(self.pause)
        self._step(0)

    def _step(self, pause: float) -> None:
        for path in sorted(path for pattern in self.patterns for path in glob.glob(pattern)):
            for level, message in self._new_messages(path):
                if self.pause and level == "INFO":
                    self.waiting[path] = message
                else:
                    self.show(message)
        for path in sorted(self.waiting):
            if time.monotonic() - self.shown_at.get(path, -math.inf) >= pause:
                self.show(self.waiting.pop(path))
                self.shown_at[path] = time.monotonic()

    def _new_messages(self, path: str) -> list[tuple[str, ...]]:
        try:
            state = os.stat(path)
            place = self.places.get((path, state.st_ino), 0)
            # A shorter file is a new one.
            place = place if place <= state.st_size else 0
            if state.st_mtime < self.began - 1 or place == state.st_size:
                return []
            with open(path, "rb") as file:
                file.seek(place)
                text = file.read()
        # Snakemake removes a job's log before the job starts; the next step finds the new one.
        except OSError:
            return []
        # A line that is not complete yet is read next time.
        whole = text[: text.rfind(b"\n") + 1]
        self.places[path, state.st_ino] = place + len(whole)
        return [match.groups() for line in whole.decode(errors="replace").splitlines() if (match := SHOWN.match(line))]
