"""Sentence pairs: examples whose input is the source and whose reference is a translation of it."""

from collections.abc import Sequence
from pathlib import Path

from dragoman.errors import ConfigError, DataError
from dragoman.tasks.translation.options import Languages
from dragoman.text.lines import read_lines
from train.data.corpus import Splits, hold_out

Pair = tuple[str, str]


def lines_of(path: Path) -> list[str]:
    """Read the lines of a text file; ``path`` may also stand for ``path.gz``. Raises DataError."""
    zipped = path.with_name(path.name + ".gz")
    return list(read_lines(zipped if zipped.is_file() and not path.is_file() else path))


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


def with_held_out(
    name: str,
    train: Sequence[Pair],
    validation: Sequence[Pair] | None,
    test: Sequence[Pair] | None,
    *,
    validation_size: int,
    test_size: int,
    seed: int,
) -> Splits:
    """Complete the splits of files of the user's own: a split without a file is held out of ``train``."""
    if validation is not None and test is not None:
        return Splits(name=name, train=train, validation=validation, tests={"test": test})
    splits = hold_out(
        name,
        train,
        validation_size=validation_size if validation is None else 0,
        test_size=test_size if test is None else 0,
        seed=seed,
    )
    return Splits(
        name=name,
        train=splits.train,
        validation=splits.validation if validation is None else validation,
        tests=splits.tests if test is None else {"test": test},
    )
