"""A heap from which any element can be removed."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from dragoman.batching.rank_heap import RankHeap


@dataclass(eq=False)
class Element:
    rank: float
    place: int = -1


@given(ranks=st.lists(st.integers(0, 20), max_size=60), removals=st.lists(st.integers(0, 59), max_size=60))
def test_the_first_is_always_the_lowest_whatever_has_been_removed(ranks, removals):
    heap: RankHeap[Element] = RankHeap()
    inside = [Element(rank) for rank in ranks]
    for element in inside:
        heap.add(element)
    for removal in removals:
        if inside:
            removed = inside.pop(removal % len(inside))
            heap.remove(removed)
            assert removed.place == -1
        assert len(heap) == len(inside)
        assert (heap.first.rank if heap.first else None) == min((element.rank for element in inside), default=None)
    while first := heap.first:
        assert first.rank == min(element.rank for element in inside)
        heap.remove(first)
        inside.remove(first)
    assert not inside
