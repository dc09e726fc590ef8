"""The corpus: a balanced sample of all patterns, split by sentence into train, validation and test.

It stands in for a downloaded corpus, so that training can be tried, and tested, where there is no network.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from dragoman.errors import ConfigError
from train.tasks.translation.phrasebook.patterns.clauses import CLAUSES
from train.tasks.translation.phrasebook.patterns.company import COMPANY
from train.tasks.translation.phrasebook.patterns.hotel import HOTEL
from train.tasks.translation.phrasebook.patterns.plans import PLANS
from train.tasks.translation.phrasebook.patterns.shop import SHOP
from train.tasks.translation.phrasebook.patterns.table import TABLE
from train.tasks.translation.phrasebook.patterns.time import TIME
from train.tasks.translation.phrasebook.patterns.town import TOWN
from train.tasks.translation.phrasebook.patterns.travel import TRAVEL
from train.tasks.translation.phrasebook.template import Pair, Pattern

PATTERNS: tuple[Pattern, ...] = TOWN + TRAVEL + HOTEL + TABLE + SHOP + TIME + COMPANY + PLANS + CLAUSES
MINIMUM_SIZE = 250
MAXIMUM_SIZE = sum(pattern.count for pattern in PATTERNS)


@dataclass(frozen=True, kw_only=True)
class PhrasebookSplits:
    """Three lists of (English, German); no sentence of either language is in two of them, or twice in one."""

    train: list[Pair]
    validation: list[Pair]
    test: list[Pair]


def generate(*, size: int = 50_000, seed: int = 0) -> PhrasebookSplits:
    """Generate ``size`` pairs: a fiftieth for test (at most 1000), half of that for validation, the rest for train.

    Every pattern is in train. The same size and seed give the same pairs in the same order.
    Raises ConfigError for a size that the patterns cannot fill or that cannot hold every pattern.
    """
    if not MINIMUM_SIZE <= size <= MAXIMUM_SIZE:
        raise ConfigError(
            f"size must be from {MINIMUM_SIZE} to {MAXIMUM_SIZE}, the pairs that the phrasebook has, got {size}; "
            "choose a size in that range",
            field="size",
        )
    # Reproducible sampling is the point here; nothing is secret.
    chance = random.Random(seed)  # noqa: S311
    train: list[Pair] = []
    held_out: list[Pair] = []
    for pattern, share in zip(PATTERNS, shares([pattern.count for pattern in PATTERNS], size), strict=True):
        pairs = _sample(pattern, share, chance)
        known = share if pattern.by_heart else 1
        train += pairs[:known]
        held_out += pairs[known:]
    chance.shuffle(held_out)
    tests, validations = min(1000, size // 50), min(500, size // 100)
    train += held_out[tests + validations :]
    chance.shuffle(train)
    return PhrasebookSplits(train=train, validation=held_out[tests : tests + validations], test=held_out[:tests])


def shares(counts: Sequence[int], size: int) -> list[int]:
    """Count the pairs to take from each pattern: the same from each, as far as the small ones reach.

    What a small pattern cannot give is shared among the larger ones, so that the sum is ``size``.
    """
    taken = [0] * len(counts)
    left = size
    for done, position in enumerate(sorted(range(len(counts)), key=counts.__getitem__)):
        taken[position] = min(counts[position], left // (len(counts) - done))
        left -= taken[position]
    return taken


def _sample(pattern: Pattern, share: int, chance: random.Random) -> list[Pair]:
    # Distinct numbers give distinct sentences, within a pattern and across them all: a test holds the patterns to it.
    return [pattern.pair(number) for number in chance.sample(range(pattern.count), share)]
