"""The micro-batcher: items of many requests computed together, each request answered for itself.

A batch is picked whenever a worker is free, from what waits then. An item's rank is the time it came plus a little for
every token ahead of it in its own request, so a document's first sentences stand in line with everyone's and the others
behind those who come a moment later. The item of the lowest rank is in the next batch: ranks stay and time moves on, so
nothing waits for ever. Requests longer than half a batch leave one worker to short ones while such keep coming. An item
is answered when the engine knows its outcome, which may be long before the end of its batch.
"""

import asyncio
import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

from dragoman.batch_queue import BatchQueue, WaitingItem
from dragoman.batch_workers import Batch, Run, Workers
from dragoman.errors import UnavailableError
from dragoman.outcomes import Failure, Result

# Padded source tokens a batch, times the size of the beam; half of what is best for throughput alone: with t5-small on
# one core a batch of 32 short sentences takes about half a second, and twice as many would be a tenth cheaper each
# while the next ones wait twice.
BATCH_TOKENS = 512
# What two cores translate within a request's deadline; more would be waited for in vain. Tokens count once for every
# row of the beam.
MAX_WAITING_ITEMS = 4_096
MAX_WAITING_TOKENS = 65_536
# A few times what a token costs, so that a document does not take its turns faster than a busy server computes it.
RANK_SECONDS_PER_TOKEN = 0.005


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
        self._workers = Workers(run, workers)
        self._batch_key = batch_key
        self._observer = observer
        self._batch_tokens = batch_tokens
        self._max_items, self._max_tokens = max_waiting_items, max_waiting_tokens
        self._queue = BatchQueue(batch_tokens)
        # From when they come until they are answered.
        self._known: dict[BatchItem, WaitingItem] = {}
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
        self.check_room(len(new), sum(map(_cost, new)))
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
        await self._workers.close()
        if self._alarm:
            self._alarm.cancel()

    def _accept(self, request: _Request, items: Sequence[BatchItem], deadline: float) -> None:
        now = asyncio.get_running_loop().time()
        is_long = sum(_cost(item) for item in items) > self._batch_tokens / 2
        if not is_long:
            self._workers.short_request_came(now)
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
            self._workers.start(Batch(items), on_outcome=self._answer, on_end=self._end_batch)
            if self._observer:
                waits = [now - waiting.arrived for waiting in items]
                self._observer.batch_started(waits, [waiting.length for waiting in items])
        self._observe_queue()
        self._set_alarm(loop, now)

    def _next_items(self, now: float) -> list[WaitingItem]:
        while self._workers.idle:
            seed = self._queue.first(long_too=self._closed or self._workers.may_start_long(now))
            if seed is None:
                return []
            waiting = self._queue.count(is_long=seed.is_long)
            taken = self._queue.take(seed, self._workers.share(waiting, is_long=seed.is_long))
            for item in taken:
                if item.deadline <= now:
                    self._settle(item, _too_late())
            if items := [item for item in taken if item.deadline > now]:
                return items
        return []

    def _end_batch(self, batch: Batch, outcomes: Sequence[Result | Failure]) -> None:
        if self._observer:
            self._observer.batch_ended(outcomes)
        for waiting, outcome in zip(batch.items, outcomes, strict=True):
            self._answer(batch, waiting.item, outcome)
        self._start_batches()

    def _answer(self, batch: Batch, item: BatchItem, outcome: Result | Failure) -> None:
        """Settle an item unless it is: it may be computed twice when something fails in its batch."""
        if waiting := batch.unanswered.pop(item, None):
            self._settle(waiting, outcome)

    def _settle(self, waiting: WaitingItem, outcome: Result | Failure) -> None:
        """Give an outcome to everyone who asked for it."""
        del self._known[waiting.item]
        for request, places in waiting.askers.items():
            request.settle(places, outcome)

    def _set_alarm(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        """Look again when a worker that is idle need not be kept free any longer."""
        if self._alarm:
            self._alarm.cancel()
        again = self._workers.next_change(now) if len(self._queue) else math.inf
        self._alarm = loop.call_at(again, self._start_batches) if again < math.inf else None

    def _observe_queue(self) -> None:
        if self._observer:
            self._observer.queue_changed(len(self._queue), self._queue.tokens)


def _cost(item: BatchItem) -> int:
    return len(item.ids) * item.rows


def _too_late() -> Failure:
    message = "the request's time ran out before its turn came; send less text at once, or ask again later"
    return Failure(UnavailableError(message, code="deadline_exceeded"))
