"""The inputs of a benchmark, in kinds of different cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# A text, or the bytes of a file.
Item = str | bytes


@dataclass(frozen=True, kw_only=True)
class Workloads:
    """A test set with its references, and inputs of which only the speed is measured.

    ``other`` are of another kind than the test set, ``short`` ones cost less than those, and ``long`` ones cost
    ``long_cost`` where an item of the test set costs ``cost``, in any unit.
    """

    items: tuple[Item, ...]
    references: tuple[Any, ...]
    other: tuple[Item, ...] = ()
    short: tuple[Item, ...] = ()
    long: tuple[Item, ...] = ()
    cost: float = 1.0
    long_cost: float = 1.0


def documents(texts: Sequence[str], *, words: int) -> tuple[str, ...]:
    """Join texts in order until each document has at least ``words`` words; the incomplete rest is dropped."""
    found: list[str] = []
    part: list[str] = []
    for text in texts:
        part.append(text)
        if sum(len(one.split()) for one in part) >= words:
            found.append(" ".join(part))
            part = []
    return tuple(found)
