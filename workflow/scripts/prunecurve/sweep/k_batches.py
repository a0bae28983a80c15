"""Evaluation jobs in commands: the name of a job, which is part of its file's name, and its values of K.

`7` is the job of K = 7 alone, and `0-15=0,1,2,5,15` a job of several.
"""

from collections.abc import Iterable, Sequence


def as_word(name: str, ks: Sequence[int]) -> str:
    """Return an evaluation job as a word."""
    return name if [str(k) for k in ks] == [name] else f"{name}={','.join(map(str, ks))}"


def from_words(words: Iterable[str]) -> dict[str, list[int]]:
    """Return the values of K of each evaluation job by its name."""
    parts = (word.partition("=") for word in words)
    return {name: [int(k) for k in (ks or name).split(",")] for name, _, ks in parts}
