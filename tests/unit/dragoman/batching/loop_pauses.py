"""A probe of the event loop: its longest pause while a request is accepted, and while one whose client left is dropped.

A callback that runs between all others measures the longest pause; every other client waits at least that long. Batches
are held meanwhile, so that the batcher's own work alone is measured.
"""

import asyncio
import contextlib
import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dragoman.batching.batcher import MicroBatcher
from dragoman.items.outcomes import Failure, OnOutcome, Result
from dragoman.items.sizes import Capacity, Size

# Enough turns of the loop for all that a batcher puts off; requests of all sizes are watched for as many.
TURNS = 20 + 100_000 // 10
WIDTHS = 40
Clock = Callable[[], float]


@dataclass(frozen=True)
class Sentence:
    """An item that hashes and compares as tasks' items do."""

    ids: tuple[int, ...]
    options: str = "greedy"


@dataclass(frozen=True, kw_only=True)
class Pauses:
    """The longest pauses of the loop in one round, in milliseconds."""

    accept_ms: float
    leave_ms: float


class Probe:
    """A callback that runs once in every turn of the loop and notes the longest time between two of its runs."""

    def __init__(self, clock: Clock) -> None:
        self.turns = 0
        self._clock = clock
        self._longest_s = 0.0
        self._before = clock()

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            now = self._clock()
            self._longest_s = max(self._longest_s, now - self._before)
            self._before = now
            self.turns += 1
            await asyncio.sleep(0)

    def longest_ms(self) -> float:
        """Return the longest pause since the last call."""
        longest_s, self._longest_s = self._longest_s, 0.0
        return 1_000 * longest_s

    async def turn(self, count: int) -> None:
        """Wait for so many turns of the loop."""
        last = self.turns + count
        while self.turns < last:
            await asyncio.sleep(0)


def rounds_of(count: int, rounds: int, *, clock: Clock) -> list[Pauses]:
    """Measure several times, each time with a loop and a batcher of its own."""
    items = [Sentence((number // 250, *range(3 + number % WIDTHS), number % 250)) for number in range(count)]
    with settled_memory():
        return [asyncio.run(measure(items, clock=clock)) for _ in range(rounds)]


@contextlib.contextmanager
def settled_memory() -> Iterator[None]:
    """Keep what exists already out of garbage collections, as a server does once its model is loaded."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def measure(items: Sequence[Sentence], *, clock: Clock) -> Pauses:
    """Ask for ``items`` at once, and cancel the request later."""
    may_go = threading.Event()

    def held(items: Sequence[Sentence], *, on_outcome: OnOutcome) -> list[Result | Failure]:
        may_go.wait()
        return [Result(None)] * len(items)

    batcher = MicroBatcher(
        held,
        batch_key=lambda item: item.options,
        size=lambda item: Size(len(item.ids)),
        capacity=Capacity(parallel_batches=2),
    )
    probe = Probe(clock)
    probing = asyncio.create_task(probe.run())
    await probe.turn(20)
    probe.longest_ms()
    request = asyncio.create_task(batcher.submit(items))
    await probe.turn(TURNS)
    accept_ms = probe.longest_ms()
    request.cancel()
    await probe.turn(TURNS)
    leave_ms = probe.longest_ms()
    probing.cancel()
    may_go.set()
    await batcher.close()
    return Pauses(accept_ms=accept_ms, leave_ms=leave_ms)
