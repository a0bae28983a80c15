"""Progress of running jobs, read from their logs: jobs that wrote to the terminal would break its live display."""

import glob
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

# A line of a script's log that the reader should see: date, time, level, message. Scripts print errors themselves.
SHOWN = re.compile(r"\d{4}-\d\d-\d\d \S+ (INFO|WARNING) (.+)")
SECONDS = 0.5


class Follower:
    """Reads new lines of log files in a thread and passes their messages on, until it is stopped."""

    def __init__(self, patterns: Sequence[str], show: Callable[[str], None], pause: float = 0) -> None:
        """patterns: glob patterns of log files; show: gets each message.

        pause: seconds between two messages of one file; of those in between the last is shown. Warnings always are.
        """
        self.patterns, self.show, self.pause = patterns, show, pause
        # By path: the place up to which a file was read; a message that waits for the end of a pause; that end.
        self.places: dict[str, int] = {}
        self.waiting: dict[str, str] = {}
        self.due: dict[str, float] = {}
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
            self._look(time.monotonic())
        self._look(math.inf)

    def _look(self, now: float) -> None:
        for path in sorted(path for pattern in self.patterns for path in glob.glob(pattern)):
            for level, message in self._new_messages(Path(path)):
                if self.pause and level == "INFO":
                    self.waiting[path] = message
                else:
                    self.show(message)
        for path in [path for path in self.waiting if self.due.get(path, 0) <= now]:
            self.show(self.waiting.pop(path))
            self.due[path] = now + self.pause

    def _new_messages(self, path: Path) -> Iterator[tuple[str, ...]]:
        try:
            if path.stat().st_mtime < self.began - 1:
                return
            content = path.read_bytes()
        # Snakemake removes a job's log before the job starts; the next look finds the new one.
        except OSError:
            return
        start = self.places.get(str(path), 0)
        # A shorter file is a new one. A line that is not complete yet is read next time.
        new = content[start if start <= len(content) else 0 : content.rfind(b"\n") + 1]
        self.places[str(path)] = content.rfind(b"\n") + 1
        for line in new.decode(errors="replace").splitlines():
            if match := SHOWN.match(line):
                yield match.groups()
