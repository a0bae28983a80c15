"""Progress of running jobs, read from their logs: jobs that wrote to the terminal would break its live display."""

import glob
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

        pause: seconds between two looks at the files. Of each look, only the last message of a file and all warnings
        are shown. 0: all messages are shown at once.
        """
        self.patterns, self.show, self.pause = patterns, show, pause
        # The place up to which each file was read.
        self.places: dict[str, int] = {}
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
        while not self.ended.wait(self.pause or SECONDS):
            self._look()
        self._look()

    def _look(self) -> None:
        for path in sorted(path for pattern in self.patterns for path in glob.glob(pattern)):
            messages = list(self._new_messages(Path(path)))
            for place, (level, message) in enumerate(messages, start=1):
                if not self.pause or level == "WARNING" or place == len(messages):
                    self.show(message)

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
