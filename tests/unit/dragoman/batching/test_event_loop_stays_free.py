"""The largest requests are handled in steps, between which the event loop has time for everyone else."""

import asyncio
import gc
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

LARGEST_REQUEST = 100_000
BATCH_COST = 512
# Enough turns of the loop for all the work that a batcher defers; requests of all sizes are watched for as many.
PROBED_TURNS = 20 + LARGEST_REQUEST // 10
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


@dataclass(frozen=True)
class HashedItem:
    """An item that hashes and compares as tasks' items do."""

    ids: tuple[int, ...]
    options: str = "greedy"


class PauseProbe:
    """A callback that runs once in every turn of the loop and notes the longest time between two of its runs.

    Every other client waits at least that long. It is processor time of the loop's thread, because other processes may
    have the processor meanwhile.
    """

    def __init__(self) -> None:
        self.turns, self._longest_s, self._before = 0, 0.0, time.thread_time()

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            now = time.thread_time()
            self._longest_s = max(self._longest_s, now - self._before)
            self._before = now
            self.turns += 1
            await asyncio.sleep(0)

    async def longest_ms(self, turns: int) -> float:
        """Return the longest pause of so many turns of the loop."""
        self._longest_s, last = 0.0, self.turns + turns
        while self.turns < last:
            await asyncio.sleep(0)
        return 1_000 * self._longest_s


async def pauses_ms(items: Sequence[HashedItem]) -> tuple[float, float]:
    """Return the longest pause while a request is accepted, and while one whose client has left is dropped."""
    may_go = threading.Event()

    def held(items: Sequence[HashedItem], *, on_outcome: OnOutcome) -> list[Result | Failure]:
        # The batcher's own work alone is measured.
        may_go.wait()
        return [Result(None)] * len(items)

    batcher = MicroBatcher(
        held,
        batch_key=lambda item: item.options,
        size=lambda item: Size(len(item.ids)),
        capacity=Capacity(parallel_batches=2),
    )
    probe = PauseProbe()
    probing = asyncio.create_task(probe.run())
    await probe.longest_ms(20)
    request = asyncio.create_task(batcher.submit(items))
    accept_ms = await probe.longest_ms(PROBED_TURNS)
    request.cancel()
    leave_ms = await probe.longest_ms(PROBED_TURNS)
    probing.cancel()
    may_go.set()
    await batcher.close()
    return accept_ms, leave_ms


def best_pauses_ms(count: int, rounds: int) -> list[float]:
    """Return the best of several rounds for a request of so many items, each with a loop and batcher of its own."""
    items = [HashedItem((number // 250, *range(3 + number % 40), number % 250)) for number in range(count)]
    # Objects that exist already stay out of garbage collections, as in a server once its model is loaded.
    gc.collect()
    gc.freeze()
    try:
        return list(map(min, zip(*(asyncio.run(pauses_ms(items)) for _ in range(rounds)), strict=True)))
    finally:
        gc.unfreeze()


def test_the_longest_pause_of_the_largest_request_is_at_most_three_times_that_of_a_small_one():
    small, large = (best_pauses_ms(count, rounds=4) for count in (ITEMS_PER_STEP, LARGEST_REQUEST))
    for event, small_ms, large_ms in zip(("accept", "leave"), small, large, strict=True):
        assert large_ms <= 3 * small_ms, (event, small_ms, large_ms)
