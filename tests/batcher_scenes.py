"""Parts of the tests of the batcher: sentences, an engine that waits to be let go, an observer that takes notes."""

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dragoman.batching.batcher import MicroBatcher, Observer
from dragoman.batching.requests import RequestClass
from dragoman.batching.workers import BatchFunction
from dragoman.items.outcomes import Failure, OnOutcome, Result
from dragoman.items.sizes import Capacity, Size


@dataclass(frozen=True)
class Sentence:
    name: str
    length: int = 10
    options: str = "greedy"
    rows: int = 1


def size_of(sentence: Sentence) -> Size:
    return Size(sentence.length, sentence.rows)


class HeldEngine:
    """An engine that notes its batches; while it is held, each batch waits to be let go."""

    def __init__(self, *, held: bool = True) -> None:
        self.batches: list[list[str]] = []
        self._may_go = threading.Semaphore(0 if held else 1_000)

    def run(self, items: Sequence[Sentence], *, on_outcome: OnOutcome) -> list[Result | Failure]:
        for item in items:
            if item.name.startswith("early"):
                on_outcome(item, Result(item.name.upper()))
        self.batches.append([item.name for item in items])
        assert self._may_go.acquire(timeout=10)
        return [Result(item.name.upper()) for item in items]

    def let_go(self, batches: int = 1_000) -> None:
        self._may_go.release(batches)

    async def has_begun(self, batches: int) -> None:
        while len(self.batches) < batches:
            await asyncio.sleep(0.001)


class Notes:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.waiting = {"short": (0, 0), "long": (0, 0)}
        self.started: list[tuple[Sequence[float], Sequence[int]]] = []
        self.ended: list[Sequence[Result | Failure]] = []

    @property
    def queue(self) -> tuple[int, int]:
        (short_items, short_cost), (long_items, long_cost) = self.waiting.values()
        return short_items + long_items, short_cost + long_cost

    def queue_changed(self, request_class: RequestClass, items: int, cost: int) -> None:
        self.waiting[request_class] = (items, cost)

    def batch_started(self, waits: Sequence[float], widths: Sequence[int]) -> None:
        self.started.append((waits, widths))

    def batch_ended(self, outcomes: Sequence[Result | Failure]) -> None:
        self.ended.append(outcomes)


def options_of(sentence: Sentence) -> str:
    return sentence.options


def batcher_of(
    run: BatchFunction,
    *,
    observer: Observer | None = None,
    batch_key: Callable[[Sentence], str] = options_of,
    **capacity: int,
) -> MicroBatcher:
    return MicroBatcher(
        run,
        batch_key=batch_key,
        size=size_of,
        capacity=Capacity(**{"batch_cost": 100, **capacity}),
        observer=observer,
    )


def play(scene: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scene(), 20))


def played(scene: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make a test of a coroutine function, which has to end within the time of ``play``."""

    @functools.wraps(scene)
    def test(*arguments: Any, **options: Any) -> None:
        play(lambda: scene(*arguments, **options))

    return test


def asked(batcher: MicroBatcher, *names: str, deadline: float | None = None, **kind: Any) -> "asyncio.Task[Any]":
    options = {} if deadline is None else {"deadline": deadline}
    return asyncio.ensure_future(batcher.submit([Sentence(name, **kind) for name in names], **options))


async def occupied(**settings: Any) -> tuple[HeldEngine, MicroBatcher, Notes]:
    """Return a batcher whose workers are all held in batches of their own, with its engine and its observer."""
    engine, notes = HeldEngine(), Notes()
    batcher = batcher_of(engine.run, observer=notes, **settings)
    for worker in range(settings.get("parallel_batches", 1)):
        asked(batcher, f"held{worker}")
        await engine.has_begun(worker + 1)
    return engine, batcher, notes


async def all_asked() -> None:
    """Let every task that was made reach the batcher."""
    for _ in range(3):
        await asyncio.sleep(0)
