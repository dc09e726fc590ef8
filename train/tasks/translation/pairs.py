"""Sentence pairs: examples whose input is the source and whose reference is a translation of it."""

from collections.abc import Sequence

from dragoman.errors import ConfigError
from dragoman.tasks.translation.options import Languages

Pair = tuple[str, str]


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
