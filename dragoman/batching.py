"""The micro-batcher: items of many requests computed together, each request answered for itself.

A batch is picked whenever a worker is free, from what waits then. An item's rank is the time it came plus a little for
every token ahead of it in its own request, so a document's first sentences stand in line with everyone's and the others
behind those who come a moment later. The item of the lowest rank is in the next batch: ranks stay and time moves on, so
nothing waits for ever. Requests longer than half a batch leave one worker to short ones while such keep coming. An item
is answered when the engine knows its outcome, which may be long before the end of its batch.
"""

import asyncio
import functools
import logging
import math
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from dragoman.batch_queue import BatchQueue, WaitingItem
from dragoman.errors import InferenceError, UnavailableError
from dragoman.tasks import Failure, OnOutcome, Result

log = logging.getLogger(__name__)

# Padded source tokens a batch, times the size of the beam; half of what is best for throughput alone: with t5-small on
# one core a batch of 32 short sentences takes about half a second, and twice as many would be a tenth cheaper each
# while the next ones wait twice.
BATCH_TOKENS = 512
# What two cores translate within a request's deadline; more would be waited for in vain.
MAX_WAITING_ITEMS = 4_096
MAX_WAITING_TOKENS = 65_536
# A few times what a token costs, so that a document does not take its turns faster than a busy server computes it.
RANK_SECONDS_PER_TOKEN = 0.005
# How long after a short request long ones leave one worker free for the next.
KEEP_FREE_S = 2.0


class BatchItem(Hashable, Protocol):
    """What the batcher asks of an item; equal items are the same work, and done once."""

    @property
    def ids(self) -> Sequence[Any]:
        """What the model reads; its length is the width in a batch."""
        ...

    @property
    def rows(self) -> int:
        """How many rows of a batch the model computes for it: the size of its beam."""
        ...


class Observer(Protocol):
    """Is told what happens, on the event loop."""

    def queue_changed(self, items: int, tokens: int) -> None:
        """So much waits now."""
        ...

    def batch_started(self, waits: Sequence[float], lengths: Sequence[int]) -> None:
        """A batch of items with these lengths in tokens, each having waited so many seconds."""
        ...

    def batch_ended(self, outcomes: Sequence[Result | Failure]) -> None:
        """What became of a batch."""
        ...


class _Request:
    """One call of ``submit`` that has not returned."""

    def __init__(self, size: int) -> None:
        self.answer: asyncio.Future[list[Result | Failure]] = asyncio.get_running_loop().create_future()
        self.waits_for: dict[WaitingItem, None] = {}
        self._outcomes: dict[int, Result | Failure] = {}
        self._size = size

    def settle(self, places: Sequence[int], outcome: Result | Failure) -> None:
        self._outcomes.update(dict.fromkeys(places, outcome))
        if len(self._outcomes) == self._size and not self.answer.done():
            self.answer.set_result([self._outcomes[place] for place in range(self._size)])


class _Batch:
    """What a worker computes, and what of it is not answered yet."""

    def __init__(self, items: list[WaitingItem], *, is_long: bool) -> None:
        self.items, self.is_long = items, is_long
        self.unanswered: dict[BatchItem, WaitingItem] = {waiting.item: waiting for waiting in items}


class Run(Protocol):
    """Computes a batch."""

    def __call__(self, items: Sequence[Any], *, on_outcome: OnOutcome) -> Sequence[Result | Failure]:
        """One outcome per item, in order; ``on_outcome`` may get some of them early, in any thread."""
        ...


class MicroBatcher:
    """Batches for one engine; belongs to the event loop on which it is used first."""

    def __init__(
        self,
        run: Run,
        *,
        batch_key: Callable[[Any], Hashable],
        workers: int,
        observer: Observer | None = None,
        batch_tokens: int = BATCH_TOKENS,
        max_waiting_items: int = MAX_WAITING_ITEMS,
        max_waiting_tokens: int = MAX_WAITING_TOKENS,
    ) -> None:
        """``run`` is called in ``workers`` threads.

        Items of equal ``batch_key`` may share a batch. What is longer than ``batch_tokens`` gets a batch of its own.
        """
        self._run = run
        self._batch_key = batch_key
        self._workers = workers
        self._observer = observer
        self._batch_tokens = batch_tokens
        self._max_items, self._max_tokens = max_waiting_items, max_waiting_tokens
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="batch")
        self._queue = BatchQueue(batch_tokens)
        # From when they come until they are answered.
        self._known: dict[BatchItem, WaitingItem] = {}
        self._running: dict[asyncio.Future[Sequence[Result | Failure]], _Batch] = {}
        self._keep_free_until = -math.inf
        self._alarm: asyncio.TimerHandle | None = None
        self._closed = False

    async def submit(self, items: Sequence[BatchItem], *, deadline: float = math.inf) -> list[Result | Failure]:
        """One outcome per item, in order; what has not begun at ``deadline``, in the loop's time, is a Failure.

        The request is accepted as a whole, or refused with UnavailableError. Cancelling it takes what nobody else asked
        for out of the queue.
        """
        if not items:
            return []
        new = {item for item in items if item not in self._known}
        self.check_room(len(new), sum(len(item.ids) for item in new))
        request = _Request(len(items))
        self._accept(request, items, deadline)
        self._start_batches()
        try:
            return await request.answer
        finally:
            self._withdraw(request)

    def check_room(self, items: int = 1, tokens: int = 1) -> None:
        """Raise UnavailableError when so much more cannot wait; an empty queue takes a request of any size."""
        if self._closed:
            raise UnavailableError("the server is shutting down; send this request again in a moment")
        waiting = len(self._queue)
        too_many = waiting + items > self._max_items or self._queue.tokens + tokens > self._max_tokens
        if waiting and items and too_many:
            raise UnavailableError(
                f"{waiting} items of {self._queue.tokens} tokens are waiting and the limits are {self._max_items} and "
                f"{self._max_tokens}; send this request again in a moment",
                code="overloaded",
            )

    async def close(self) -> None:
        """Refuse what comes from now on, answer what was accepted, and free the threads."""
        self._closed = True
        self._start_batches()
        while self._running:
            await asyncio.wait(self._running)
        self._pool.shutdown()

    def _accept(self, request: _Request, items: Sequence[BatchItem], deadline: float) -> None:
        now = asyncio.get_running_loop().time()
        is_long = sum(_cost(item) for item in items) > self._batch_tokens / 2
        if not is_long:
            self._keep_free_until = now + KEEP_FREE_S
        ahead = 0
        for place, item in enumerate(items):
            rank = now + ahead * RANK_SECONDS_PER_TOKEN
            ahead += _cost(item)
            waiting = self._known.get(item)
            if waiting is None:
                waiting = WaitingItem(
                    item=item,
                    key=self._batch_key(item),
                    length=len(item.ids),
                    rows=item.rows,
                    arrived=now,
                    rank=rank,
                    deadline=deadline,
                    is_long=is_long,
                )
                self._known[item] = waiting
                self._queue.add(waiting)
            else:
                self._join(waiting, rank, deadline, is_long=is_long)
            waiting.askers.setdefault(request, []).append(place)
            request.waits_for[waiting] = None

    def _join(self, waiting: WaitingItem, rank: float, deadline: float, *, is_long: bool) -> None:
        """Somebody else asks for an item; it is as urgent as it is to the one who needs it most."""
        waiting.rank = min(waiting.rank, rank)
        waiting.deadline = max(waiting.deadline, deadline)
        if waiting.is_long and not is_long:
            if queued := waiting.is_queued:
                self._queue.remove(waiting)
            waiting.is_long = False
            if queued:
                self._queue.add(waiting)

    def _withdraw(self, request: _Request) -> None:
        """Drop what only this request still waits for."""
        for waiting in request.waits_for:
            waiting.askers.pop(request, None)
            if not waiting.askers and waiting.is_queued:
                self._queue.remove(waiting)
                del self._known[waiting.item]
        self._observe_queue()

    def _start_batches(self) -> None:
        """Give every worker that is free a batch, if something waits that it may take."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        while items := self._next_items(now):
            future = self._start(loop, _Batch(items, is_long=items[0].is_long))
            future.add_done_callback(self._finish_batch)
            if self._observer:
                waits = [now - waiting.arrived for waiting in items]
                self._observer.batch_started(waits, [waiting.length for waiting in items])
        self._observe_queue()
        self._set_alarm(loop)

    def _start(self, loop: asyncio.AbstractEventLoop, batch: _Batch) -> "asyncio.Future[Sequence[Result | Failure]]":
        def on_outcome(item: BatchItem, outcome: Result | Failure) -> None:
            loop.call_soon_threadsafe(self._answer, batch, item, outcome)

        future = loop.run_in_executor(
            self._pool, functools.partial(self._run, list(batch.unanswered), on_outcome=on_outcome)
        )
        self._running[future] = batch
        return future

    def _next_items(self, now: float) -> list[WaitingItem]:
        while self._idle() > 0:
            seed = self._queue.first(long_too=self._may_start_long(now))
            if seed is None:
                return []
            taken = self._queue.take(seed, self._rows(is_long=seed.is_long))
            for waiting in taken:
                if waiting.deadline <= now:
                    self._settle(waiting, _too_late())
            if items := [waiting for waiting in taken if waiting.deadline > now]:
                return items
        return []

    def _idle(self) -> int:
        return self._workers - len(self._running)

    def _may_start_long(self, now: float) -> bool:
        if self._workers == 1 or self._closed or now >= self._keep_free_until:
            return True
        return sum(batch.is_long for batch in self._running.values()) < self._workers - 1

    def _rows(self, *, is_long: bool) -> int:
        """How many items a batch may have, so that all workers which compute this kind have about the same to do."""
        waiting = self._queue.count(is_long=is_long)
        alike = [len(batch.items) for batch in self._running.values() if batch.is_long == is_long]
        workers = self._workers - (len(self._running) - len(alike))
        return min(math.ceil(waiting / self._idle()), math.ceil((waiting + sum(alike)) / workers))

    def _finish_batch(self, future: "asyncio.Future[Sequence[Result | Failure]]") -> None:
        batch = self._running.pop(future)
        outcomes = _outcomes(future, len(batch.items))
        if self._observer:
            self._observer.batch_ended(outcomes)
        for waiting, outcome in zip(batch.items, outcomes, strict=True):
            self._answer(batch, waiting.item, outcome)
        self._start_batches()

    def _answer(self, batch: _Batch, item: BatchItem, outcome: Result | Failure) -> None:
        """Settle an item unless it is: it may be computed twice when something fails in its batch."""
        if waiting := batch.unanswered.pop(item, None):
            self._settle(waiting, outcome)

    def _settle(self, waiting: WaitingItem, outcome: Result | Failure) -> None:
        """Give an outcome to everyone who asked for it."""
        del self._known[waiting.item]
        for request, places in waiting.askers.items():
            request.settle(places, outcome)

    def _set_alarm(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look again when a worker that is idle need not be kept free any longer."""
        if self._alarm:
            self._alarm.cancel()
        is_kept_free = len(self._queue) and self._idle() > 0
        self._alarm = loop.call_at(self._keep_free_until, self._start_batches) if is_kept_free else None

    def _observe_queue(self) -> None:
        if self._observer:
            self._observer.queue_changed(len(self._queue), self._queue.tokens)


def _cost(item: BatchItem) -> int:
    return len(item.ids) * item.rows


def _outcomes(future: "asyncio.Future[Sequence[Result | Failure]]", size: int) -> Sequence[Result | Failure]:
    error = future.exception()
    if error is None and len(future.result()) == size:
        return future.result()
    log.error("a batch of %d items was not answered as it must be", size, exc_info=error)
    return [Failure(InferenceError("the server failed on this request; its log says why"))] * size


def _too_late() -> Failure:
    message = "the request's time ran out before its turn came; send less text at once, or ask again later"
    return Failure(UnavailableError(message, code="deadline_exceeded"))
