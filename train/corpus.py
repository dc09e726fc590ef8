"""Sentence pairs in their splits, the fingerprint that covers every one of them, and seeded hold-outs."""

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dragoman.errors import ConfigError, DataError
from dragoman.manifest import Languages

Pair = tuple[str, str]
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
        digest.update(_pairs_digest(pairs))
    return f"sha256:{digest.hexdigest()}"


def split_label(corpus: str, split: str, pairs: Sequence[Pair]) -> str:
    """What a score's test set is called: ``phrasebook/test@1a2b3c4d``, so that only equal sets have equal names."""
    return f"{corpus}/{split}@{_pairs_digest(pairs).hex()[:8]}"


def _pairs_digest(pairs: Sequence[Pair]) -> bytes:
    digest = hashlib.sha256()
    for pair in pairs:
        for text in pair:
            encoded = text.encode("utf-8")
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.digest()


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
    by_source: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_source.setdefault(pair[0], []).append(pair)
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
