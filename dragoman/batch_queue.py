"""The items that wait for a batch, and which of them make the next one."""

from bisect import bisect_left, insort
from collections.abc import Hashable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

# Two items share a batch when the longer is at most twice as long as the shorter, or this many tokens longer. A batch
# takes as many steps as its longest item needs, and the short one, which is done long before, is padded for nothing.
# Where both are short, the steps that differ are few, and a larger batch is worth them.
MAX_LENGTH_DIFFERENCE = 16


@dataclass(eq=False, kw_only=True)
class WaitingItem:
    """One item, for everyone who asked for it; times are those of the event loop, in seconds."""

    item: Any
    key: Hashable
    """Items of equal keys may share a batch."""
    length: int
    """In tokens."""
    rows: int
    """Of a batch that the model computes for it."""
    arrived: float
    rank: float
    """When its turn comes; the lowest is served first."""
    deadline: float
    is_long: bool
    """Whether only long requests asked for it."""
    is_queued: bool = False
    askers: dict[Any, list[int]] = field(default_factory=dict)
    """The places of the item in each request."""


class BatchQueue:
    """Waiting items in groups that may share a batch, each sorted by length."""

    def __init__(self, batch_tokens: int) -> None:
        """``batch_tokens`` is what a batch of several items holds at most, padding included."""
        self.tokens = 0
        self._batch_tokens = batch_tokens
        # Items of long requests and of short ones have groups of their own: a sentence that comes alone would
        # otherwise wait until a batch filled up with a document is done.
        self._groups: dict[tuple[bool, Hashable], list[WaitingItem]] = {}
        self._counts = {True: 0, False: 0}

    def __len__(self) -> int:
        return self._counts[True] + self._counts[False]

    def count(self, *, is_long: bool) -> int:
        """How many items of long, or of short requests wait."""
        return self._counts[is_long]

    def add(self, waiting: WaitingItem) -> None:
        """Put an item in."""
        insort(self._groups.setdefault((waiting.is_long, waiting.key), []), waiting, key=attrgetter("length"))
        self._count(waiting, 1)

    def remove(self, waiting: WaitingItem) -> None:
        """Take an item out that is in."""
        group = self._groups[waiting.is_long, waiting.key]
        place = group.index(waiting, bisect_left(group, waiting.length, key=attrgetter("length")))
        self._take(group, place, place + 1)

    def first(self, *, long_too: bool) -> WaitingItem | None:
        """The item whose turn is next, of long requests too or of short ones alone."""
        candidates = (
            waiting for (is_long, _), group in self._groups.items() if long_too or not is_long for waiting in group
        )
        return min(candidates, key=attrgetter("rank"), default=None)

    def take(self, seed: WaitingItem, rows: int) -> list[WaitingItem]:
        """Take out a batch of up to ``rows`` items: ``seed``, and those nearest to it in length."""
        group = self._groups[seed.is_long, seed.key]
        start = group.index(seed, bisect_left(group, seed.length, key=attrgetter("length")))
        end = start + 1
        while end - start < rows:
            # The group is sorted, so the batch is a run of it that grows at either end.
            shorter = seed.length - group[start - 1].length if self._fits(group, start - 1, end) else None
            longer = group[end].length - seed.length if self._fits(group, start, end + 1) else None
            if shorter is None and longer is None:
                break
            if longer is None or (shorter is not None and shorter <= longer):
                start -= 1
            else:
                end += 1
        return self._take(group, start, end)

    def _fits(self, group: list[WaitingItem], start: int, end: int) -> bool:
        if start < 0 or end > len(group):
            return False
        shortest, longest = group[start].length, group[end - 1].length
        if longest - shortest > max(shortest, MAX_LENGTH_DIFFERENCE):
            return False
        # Items that share a batch have the same options, and so the same number of rows.
        return longest * group[start].rows * (end - start) <= self._batch_tokens

    def _take(self, group: list[WaitingItem], start: int, end: int) -> list[WaitingItem]:
        taken = group[start:end]
        del group[start:end]
        for waiting in taken:
            self._count(waiting, -1)
        if not group:
            del self._groups[taken[0].is_long, taken[0].key]
        return taken

    def _count(self, waiting: WaitingItem, change: int) -> None:
        waiting.is_queued = change > 0
        self._counts[waiting.is_long] += change
        self.tokens += change * waiting.length * waiting.rows
