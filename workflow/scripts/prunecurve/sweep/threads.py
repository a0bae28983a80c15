"""Work that numpy does in several threads."""

from collections.abc import Callable, Iterable
from typing import TypeVar

Result = TypeVar("Result")


def in_threads(work: Callable[..., Result], threads: int, *arguments: Iterable) -> list[Result]:
    """Return the results of `map` in order, computed in `threads` threads; numpy releases the GIL in its loops."""
    if threads == 1:
        return list(map(work, *arguments))
    # Imported here because the evaluation jobs use one thread, and this import would slow them down.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, *arguments))
