"""One rule for all sources of the user's own: files for validation and test, or a seeded hold-out."""

from collections.abc import Sequence
from typing import Protocol

from train.data.corpus import Splits, hold_out
from train.tasks.translation.pairs import Pair


class HoldOutSettings(Protocol):
    """What a source must say about its hold-out."""

    @property
    def name(self) -> str:
        """What the corpus is called."""
        ...

    @property
    def validation_size(self) -> int:
        """Sentences for validation."""
        ...

    @property
    def test_size(self) -> int:
        """Sentences for the test."""
        ...

    @property
    def seed(self) -> int:
        """Seed of the shuffle."""
        ...


def with_held_out(
    settings: HoldOutSettings,
    train: Sequence[Pair],
    validation: Sequence[Pair] | None,
    test: Sequence[Pair] | None,
) -> Splits:
    """Complete the splits: what has no file of its own is held out of ``train``."""
    if validation is not None and test is not None:
        return Splits(name=settings.name, train=train, validation=validation, tests={"test": test})
    splits = hold_out(
        settings.name,
        train,
        validation_size=settings.validation_size if validation is None else 0,
        test_size=settings.test_size if test is None else 0,
        seed=settings.seed,
    )
    return Splits(
        name=settings.name,
        train=splits.train,
        validation=splits.validation if validation is None else validation,
        tests=splits.tests if test is None else {"test": test},
    )
