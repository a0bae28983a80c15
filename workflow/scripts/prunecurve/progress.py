"""Progress of running jobs, read from their logs: jobs that wrote to the terminal would break its live display."""

import glob
import os
import re
import threading
import time
from collections.abc import Callable, Sequence

# A line of a script's log that the reader should see: date, time, level, message.
SHOWN = re.compile(r"\d{4}-\d\d-\d\d \S+ (?:INFO|WARNING) (.*)")
SECONDS = 0.5


class Follower:
    """Reads new lines of log files in a thread and passes their messages on, until it is stopped."""

    def __init__(self, patterns: Sequence[str], show: Callable[[str], None]) -> None:
        """patterns: glob patterns of log files; show: is called with each message."""
        self.patterns, self.show = patterns, show
        self.places: dict[tuple[str, int], int] = {}
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin with what is written from now on: the logs of earlier runs are not shown again."""
        self.began = time.time()
        self.thread.start()

    def stop(self) -> None:
        """Show the last lines and end the thread."""
        self.ended.set()
        if self.thread.is_alive():
            self.thread.join()

    def _run(self) -> None:
        while not self.ended.wait(SECONDS):
            self._read()
        self._read()

    def _read(self) -> None:
        for path in sorted(path for pattern in self.patterns for path in glob.glob(pattern)):
            try:
                self._read_file(path)
            # Snakemake removes a job's log before the job starts; the next look finds the new one.
            except OSError:
                continue

    def _read_file(self, path: str) -> None:
        state = os.stat(path)
        place = self.places.get((path, state.st_ino), 0)
        # A shorter file is a new one.
        place = place if place <= state.st_size else 0
        if state.st_mtime < self.began - 1 or place == state.st_size:
            return
        with open(path, "rb") as file:
            file.seek(place)
            text = file.read()
        # A line that isn't complete yet is read next time.
        whole = text.rpartition(b"\n")[0]
        self.places[path, state.st_ino] = place + len(whole) + bool(whole)
        for line in whole.decode(errors="replace").splitlines():
            if match := SHOWN.match(line):
                self.show(match[1])
