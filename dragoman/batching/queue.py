"""The items that wait for a batch, and the choice of those that make the next one."""

from bisect import bisect_left, insort
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from dragoman.batching.rank_heap import RankHeap

# Every item is in two structures. The heap of its class (long or short requests) says whose turn is next; the group of
# those that may share a batch with it says who goes along, the nearest in width first:
#
#   whose turn is next                 who goes along (batch_cost 100)
#   heap of short: [seed, …]  ------>  group (short, greedy):  width 19 | width 20   | width 22 | width 40
#   heap of long:  [d7, d9, …]                                 a        | seed, b, c | e        | f
#                                                              4th        1st to 3rd   no: 5 x 22 > 100
#
# Nothing here depends on how many items wait, beyond a logarithm: a batch costs its own items and the widths near them.

# Two items share a batch when the longer is at most twice as long as the shorter, or this much wider. A batch takes as
# many steps as its longest item needs, and the short one, which is done long before, is padded for nothing. Where both
# are short, the steps that differ are few, and a larger batch is worth them.
MAX_WIDTH_DIFFERENCE = 16


@dataclass(eq=False, kw_only=True, slots=True)
class WaitingItem:
    """One item, for everyone who asked for it; times are those of the event loop, in seconds.

    Items of equal ``key`` may share a batch, whose items are padded to one ``width``; ``rows`` are computed for each.
    The lowest ``rank`` is served first, and ``place`` is the position in the heap. ``is_long`` holds while only long
    requests asked for it. ``owner`` is the request whose share of the budget it takes while it waits, ``askers`` holds
    its places in each request.
    """

    item: Any
    key: Hashable
    width: int
    rows: int
    arrived: float
    rank: float
    deadline: float
    is_long: bool
    owner: Any = None
    askers: dict[Any, list[int]] = field(default_factory=dict)
    place: int = -1

    @property
    def cost(self) -> int:
        """Return its share of a batch, without padding."""
        return self.width * self.rows

    @property
    def is_queued(self) -> bool:
        """Tell whether it waits, rather than being computed."""
        return self.place >= 0


class BatchQueue:
    """Waiting items by rank, and in groups that may share a batch by width."""

    def __init__(self, batch_cost: int) -> None:
        """Let batches of several items cost at most ``batch_cost``, padding included."""
        self._batch_cost = batch_cost
        self._turns: dict[bool, RankHeap[WaitingItem]] = {True: RankHeap(), False: RankHeap()}
        # Items of long requests and of short ones have groups of their own: a sentence that comes alone would
        # otherwise wait until a batch filled up with a document is done.
        self._groups: dict[Hashable, _Group] = {}

    def __len__(self) -> int:
        return sum(map(len, self._turns.values()))

    def count(self, *, is_long: bool) -> int:
        """Count the items of long, or of short requests that wait."""
        return len(self._turns[is_long])

    def add(self, waiting: WaitingItem) -> None:
        """Queue an item."""
        self._turns[waiting.is_long].add(waiting)
        self._groups.setdefault(_group_key(waiting), _Group()).add(waiting)

    def remove(self, waiting: WaitingItem) -> None:
        """Remove an item that is queued."""
        self._turns[waiting.is_long].remove(waiting)
        group = self._groups[_group_key(waiting)]
        group.remove(waiting)
        if not group.widths:
            del self._groups[_group_key(waiting)]

    def first(self, *, long_too: bool) -> WaitingItem | None:
        """Return the item whose turn is next, of long requests too or of short ones alone."""
        short, long = self._turns[False].first, self._turns[True].first
        if not long_too or long is None:
            return short
        return long if short is None or long.rank < short.rank else short

    def take(self, seed: WaitingItem, items: int) -> list[WaitingItem]:
        """Take out a batch of up to ``items``: ``seed``, and those nearest to it in width."""
        group = self._groups[_group_key(seed)]
        taken, narrowest, widest = [seed], seed.width, seed.width
        for width in group.outward(seed.width):
            lower, upper = min(narrowest, width), max(widest, width)
            # All of a group have the same number of rows.
            room = min(items, self._batch_cost // (upper * seed.rows)) - len(taken)
            if room > 0 and upper - lower <= max(lower, MAX_WIDTH_DIFFERENCE):
                taken += islice((waiting for waiting in group.by_width[width] if waiting is not seed), room)
                narrowest, widest = lower, upper
            if len(taken) >= items:
                break
        for waiting in taken:
            self.remove(waiting)
        return taken


class _Group:
    """Items that may share a batch, by width; those of one width in the order in which they came."""

    def __init__(self) -> None:
        # All widths that there are, sorted, and the items of each, as keys: dictionaries keep the order of arrival.
        self.widths: list[int] = []
        self.by_width: dict[int, dict[WaitingItem, None]] = {}

    def add(self, waiting: WaitingItem) -> None:
        alike = self.by_width.get(waiting.width)
        if alike is None:
            insort(self.widths, waiting.width)
            alike = self.by_width[waiting.width] = {}
        alike[waiting] = None

    def remove(self, waiting: WaitingItem) -> None:
        alike = self.by_width[waiting.width]
        del alike[waiting]
        if not alike:
            del self.by_width[waiting.width]
            del self.widths[bisect_left(self.widths, waiting.width)]

    def outward(self, width: int) -> Iterator[int]:
        """Yield the widths from the nearest to the farthest, of two at the same distance the smaller first."""
        right = bisect_left(self.widths, width)
        left = right - 1
        while left >= 0 or right < len(self.widths):
            if right == len(self.widths) or (left >= 0 and width - self.widths[left] <= self.widths[right] - width):
                yield self.widths[left]
                left -= 1
            else:
                yield self.widths[right]
                right += 1


def _group_key(waiting: WaitingItem) -> Hashable:
    return waiting.is_long, waiting.key, waiting.rows
