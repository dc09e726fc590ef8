"""A heap from which any element can be removed, not only the first."""

from typing import Generic, Protocol, TypeVar

# A heap is a list in which the element at n has a rank no higher than those at 2n + 1 and 2n + 2:
#
#     places      0              ranks       1.0
#               /   \                       /   \
#              1     2                    1.5    2.0
#             / \   /                     / \    /
#            3   4 5                   1.7 3.0 2.5
#
# Every element notes its own place, so one that leaves early is found without a search: the last element moves into the
# gap, and up or down from there. That is a logarithmic number of steps, and nothing dead stays behind, as it would in
# Python's heapq, where elements can only be marked and skipped when they come up.


class Ranked(Protocol):
    """An element; its rank must not change while it is in a heap."""

    rank: float
    place: int
    """The place in the heap, -1 outside of one."""


T = TypeVar("T", bound=Ranked)


class RankHeap(Generic[T]):
    """A heap by rank; an element is in one heap at a time."""

    def __init__(self) -> None:
        self._elements: list[T] = []

    def __len__(self) -> int:
        return len(self._elements)

    @property
    def first(self) -> T | None:
        """Return the element of the lowest rank."""
        return self._elements[0] if self._elements else None

    def add(self, element: T) -> None:
        """Add an element."""
        self._elements.append(element)
        self._move_up(element, len(self._elements) - 1)

    def remove(self, element: T) -> None:
        """Remove an element of the heap."""
        gap, element.place = element.place, -1
        last = self._elements.pop()
        if last is element:
            return
        if gap and last.rank < self._elements[(gap - 1) // 2].rank:
            self._move_up(last, gap)
        else:
            self._move_down(last, gap)

    def _move_up(self, element: T, place: int) -> None:
        elements = self._elements
        while place:
            parent = elements[(place - 1) // 2]
            if parent.rank <= element.rank:
                break
            elements[place], parent.place, place = parent, place, parent.place
        elements[place], element.place = element, place

    def _move_down(self, element: T, place: int) -> None:
        elements, size = self._elements, len(self._elements)
        while (below := 2 * place + 1) < size:
            if below + 1 < size and elements[below + 1].rank < elements[below].rank:
                below += 1
            child = elements[below]
            if element.rank <= child.rank:
                break
            elements[place], child.place, place = child, place, below
        elements[place], element.place = element, place
