"""Evaluation jobs in commands: the name of a job, which is part of its file's name, and its values of K.

`7` is the job of K = 7 alone, and `0-15=0,1,2,5,15` a job of several.
"""

from collections.abc import Iterable, Mapping, Sequence

from prunecurve.sweep.removal import parts_of


def as_word(name: str, ks: Sequence[int]) -> str:
    """Return an evaluation job as a word."""
    return name if [str(k) for k in ks] == [name] else f"{name}={','.join(map(str, ks))}"


def from_words(words: Iterable[str]) -> dict[str, list[int]]:
    """Return the values of K of each evaluation job by its name."""
    parts = (word.partition("=") for word in words)
    return {name: [int(k) for k in (ks or name).split(",")] for name, _, ks in parts}


def named(ks: Sequence[int]) -> str:
    """Return the name of the job of consecutive K: `7`, `0-15`."""
    return str(ks[0]) if len(ks) == 1 else f"{ks[0]}-{ks[-1]}"


def of_variant(batches: Mapping[str, Sequence[int]], variant: str) -> Mapping[str, Sequence[int]]:
    """Return the jobs of a removal with its repair: those of the removal, or one job of all K if there is a repair.

    All K are repaired at the cost of one.
    """
    every = [k for ks in batches.values() for k in ks]
    return batches if parts_of(variant)[1] == "none" else {named(every): every}
