"""Sentence pairs in their splits, the fingerprint that covers every one of them, seeded hold-outs and folds."""

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dragoman.errors import ConfigError, DataError
from dragoman.manifest import Languages
from dragoman.segments import Pair, pairs_digest

# A hold-out takes no more than this share of a corpus, so that a small one still trains.
LARGEST_HOLD_OUT = 0.1


@dataclass(frozen=True, kw_only=True)
class Splits:
    """(source, target) pairs by their use; ``tests`` has one entry for each test set, the first being the main one.

    ``lower_cased`` asks for lower-cased BLEU as well, where papers on the corpus report that.
    """

    name: str
    train: Sequence[Pair]
    validation: Sequence[Pair]
    tests: Mapping[str, Sequence[Pair]]
    lower_cased: bool = False

    def items(self) -> Iterator[tuple[str, Sequence[Pair]]]:
        """Every split with its name: train, validation, then the test sets."""
        yield "train", self.train
        yield "validation", self.validation
        yield from self.tests.items()


def fingerprint(splits: Splits) -> str:
    """``sha256:…`` over every row of every split, in order; moving one character between two cells changes it."""
    digest = hashlib.sha256()
    for name, pairs in splits.items():
        digest.update(f"{name}\0{len(pairs)}\0".encode())
        digest.update(pairs_digest(pairs))
    return f"sha256:{digest.hexdigest()}"


def oriented(pairs: Sequence[Pair], languages: Languages, held: Languages, name: str) -> Sequence[Pair]:
    """Pairs of a source whose languages are fixed, in the direction asked for; raises ConfigError for others."""
    if (languages.source, languages.target) == (held.source, held.target):
        return pairs
    if (languages.source, languages.target) == (held.target, held.source):
        return [(target, source) for source, target in pairs]
    raise ConfigError(
        f"{name} holds {held.source} and {held.target}, but task.source={languages.source} and "
        f"task.target={languages.target} are asked for; use these two languages or another data=…"
    )


def hold_out(name: str, pairs: Sequence[Pair], *, validation_size: int, test_size: int, seed: int) -> Splits:
    """Split by source sentence: all pairs of one source go to one split, and held-out sources keep one pair each.

    A hold-out takes at most a tenth of the distinct sources; raises DataError when that leaves nothing.
    """
    by_source = _by_source(pairs)
    sources = list(by_source)
    most = int(len(sources) * LARGEST_HOLD_OUT)
    if most < 1:
        raise DataError(
            f"{name} has {len(sources)} distinct source sentences, too few to hold any out for validation and test; "
            "give at least 10, or validation and test files of their own"
        )
    random.Random(seed).shuffle(sources)  # noqa: S311 - a seeded split, no secret
    validation, test = min(validation_size, most), min(test_size, most)
    held = [by_source[source][0] for source in sources[: validation + test]]
    train = [pair for source in sources[validation + test :] for pair in by_source[source]]
    return Splits(name=name, train=train, validation=held[:validation], tests={"test": held[validation:]})


def folds(splits: Splits, *, count: int, seed: int) -> list[Splits]:
    """Cross-validation: ``count`` times another part of training and validation pairs together validates the rest.

    Parts are cut by source sentence, so that no source is on both sides. The test sets stay as they are, unseen.
    Raises DataError when there are fewer distinct sources than folds.
    """
    by_source = _by_source([*splits.train, *splits.validation])
    sources = list(by_source)
    if len(sources) < count:
        raise DataError(f"{splits.name} has {len(sources)} distinct source sentences, too few for {count} folds")
    random.Random(seed).shuffle(sources)  # noqa: S311 - a seeded split, no secret
    parts = [sources[start::count] for start in range(count)]
    return [
        replace(
            splits,
            train=[pair for other in parts if other is not part for source in other for pair in by_source[source]],
            validation=[by_source[source][0] for source in part],
        )
        for part in parts
    ]


def _by_source(pairs: Sequence[Pair]) -> dict[str, list[Pair]]:
    grouped: dict[str, list[Pair]] = {}
    for pair in pairs:
        grouped.setdefault(pair[0], []).append(pair)
    return grouped
