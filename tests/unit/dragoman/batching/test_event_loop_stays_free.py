"""The largest requests are handled in steps, between which the event loop has time for everyone else."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from dragoman.batching.batcher import MicroBatcher
from dragoman.batching.line import ITEMS_IN_LINE, ITEMS_PER_STEP
from dragoman.errors import UnavailableError
from dragoman.items.outcomes import Failure, OnOutcome, Result
from dragoman.items.sizes import Capacity, Size
from tests.unit.dragoman.batching.loop_pauses import rounds_of

LARGEST_REQUEST = 100_000
BATCH_COST = 512
# Sentences of at least 4 tokens.
ITEMS_PER_BATCH = BATCH_COST // 4


class CountingLoop(asyncio.SelectorEventLoop):
    """An event loop that notes how many items one callback touched at most."""

    def __init__(self) -> None:
        self.most = 0
        self._touched: set[int] = set()
        self._thread = threading.get_ident()
        super().__init__()

    def touch(self, number: int) -> None:
        """Count an item for the callback that runs; engines' threads may touch what they like."""
        if threading.get_ident() == self._thread:
            self._touched.add(number)

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        return super().call_soon(self._counted(callback), *args, context=context)

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        return super().call_soon_threadsafe(self._counted(callback), *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        return super().call_at(when, self._counted(callback), *args, context=context)

    def _counted(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            self._touched.clear()
            try:
                return callback(*args)
            finally:
                self.most = max(self.most, len(self._touched))

        return run


@dataclass(frozen=True, eq=False)
class CountedItem:
    """An item that tells the loop whenever somebody hashes or compares it, or asks for its size."""

    number: int
    loop: CountingLoop

    def __hash__(self) -> int:
        self.loop.touch(self.number)
        return hash(self.number)

    def __eq__(self, other: object) -> bool:
        self.loop.touch(self.number)
        return isinstance(other, CountedItem) and self.number == other.number

    def size(self) -> Size:
        self.loop.touch(self.number)
        return Size(4 + self.number % 40)


def run_counted(scene: Callable[[MicroBatcher, list[CountedItem], threading.Event], Any]) -> int:
    """Play a scene with the largest request, and return how many items one callback touched at most."""
    may_go = threading.Event()

    def run(items: Sequence[CountedItem], *, on_outcome: OnOutcome) -> list[Result | Failure]:
        assert may_go.wait(60)
        return [Result(item.number) for item in items]

    async def played(loop: CountingLoop) -> None:
        batcher = MicroBatcher(
            run,
            batch_key=lambda item: None,
            size=CountedItem.size,
            capacity=Capacity(parallel_batches=2, batch_cost=BATCH_COST),
        )
        items = [CountedItem(number, loop) for number in range(LARGEST_REQUEST)]
        loop.most = 0
        await scene(batcher, items, may_go)
        may_go.set()
        await batcher.close()

    loop = CountingLoop()
    try:
        loop.run_until_complete(asyncio.wait_for(played(loop), 120))
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
    assert loop.most > 0
    return loop.most


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_no_callback_touches_more_than_a_step_and_two_batches_when_a_large_request_is_computed():
    async def scene(batcher: MicroBatcher, items: list[CountedItem], may_go: threading.Event) -> None:
        may_go.set()
        assert await batcher.submit(items) == [Result(number) for number in range(LARGEST_REQUEST)]

    assert run_counted(scene) <= ITEMS_PER_STEP + 2 * ITEMS_PER_BATCH


def test_no_callback_touches_more_than_a_step_when_a_large_request_comes_and_its_client_leaves():
    async def scene(batcher: MicroBatcher, items: list[CountedItem], may_go: threading.Event) -> None:
        request = asyncio.ensure_future(batcher.submit(items))
        await turns(LARGEST_REQUEST // ITEMS_PER_STEP + ITEMS_IN_LINE // ITEMS_PER_STEP + 20)
        request.cancel()
        await turns(ITEMS_IN_LINE // ITEMS_PER_STEP + 20)

    # Two workers are given their first batches in one callback.
    assert run_counted(scene) <= ITEMS_PER_STEP + 2 * ITEMS_PER_BATCH


def test_no_callback_touches_more_than_a_step_when_a_large_request_is_refused_or_comes_too_late():
    async def scene(batcher: MicroBatcher, items: list[CountedItem], may_go: threading.Event) -> None:
        first = asyncio.ensure_future(batcher.submit(items[:1_000]))
        await turns(20)
        with pytest.raises(UnavailableError):
            await batcher.submit(items)
        may_go.set()
        await first
        late = await batcher.submit(items[:20_000], deadline=asyncio.get_running_loop().time())
        assert {outcome.error.code for outcome in late} == {"deadline_exceeded"}  # type: ignore[union-attr]

    assert run_counted(scene) <= ITEMS_PER_STEP + 2 * ITEMS_PER_BATCH


def test_the_longest_pause_of_the_largest_request_is_at_most_three_times_that_of_a_small_one():
    # Processor time of the loop's thread, and the best of several rounds: other processes are not to blame on it.
    small, large = (rounds_of(count, 4, clock=time.thread_time) for count in (ITEMS_PER_STEP, LARGEST_REQUEST))
    for figure in ("accept_ms", "leave_ms"):
        best_small, best_large = (min(getattr(pauses, figure) for pauses in found) for found in (small, large))
        assert best_large <= 3 * best_small, (figure, best_small, best_large)
