"""Sentence pairs: examples whose input is the source and whose reference is a translation of it."""

from collections.abc import Sequence
from pathlib import Path

from dragoman.errors import ConfigError, DataError
from dragoman.tasks.translation.options import Languages
from train.data.table import lines_of

Pair = tuple[str, str]


def read_aligned(source: Path, target: Path) -> list[Pair]:
    """Read two files whose lines correspond; raises DataError when their lengths differ or they are empty."""
    sources, targets = lines_of(source), lines_of(target)
    if len(sources) != len(targets):
        raise DataError(
            f"{source} has {len(sources)} lines and {target} has {len(targets)}; line n of one must translate "
            "line n of the other"
        )
    if not sources:
        raise DataError(f"{source} and {target} are empty; give files with one sentence a line")
    return list(zip(sources, targets, strict=True))


def oriented(pairs: Sequence[Pair], languages: Languages, held: Languages, name: str) -> Sequence[Pair]:
    """Turn pairs of a source whose languages are fixed into the direction asked for; raises ConfigError for others."""
    if (languages.source, languages.target) == (held.source, held.target):
        return pairs
    if (languages.source, languages.target) == (held.target, held.source):
        return [(target, source) for source, target in pairs]
    raise ConfigError(
        f"{name} holds {held.source} and {held.target}, but task.source={languages.source} and "
        f"task.target={languages.target} are asked for; use these two languages or another data=…"
    )
