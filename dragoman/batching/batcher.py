"""The micro-batcher: items of many requests are computed together, and each request is answered for itself."""

import asyncio
import logging
import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

from dragoman.batching.line import ITEMS_PER_STEP, WaitingLine
from dragoman.batching.queue import WaitingItem
from dragoman.batching.requests import RequestClass, overloaded
from dragoman.batching.workers import Batch, BatchFunction, Workers
from dragoman.errors import UnavailableError
from dragoman.items.outcomes import Failure, Result
from dragoman.items.sizes import Capacity, Size

# submit --> admitted by class --> in line, in steps --> batch --> worker --> outcomes --> answer
#            (short or long)       (rank, width)         (as soon as a worker is idle)
#
# WaitingLine owns the requests and the items that wait, Workers own the batches in flight, and MicroBatcher moves items
# from one to the other. All three live on the event loop; only the engine's work is done in threads.
#
# Order: an item's rank is its arrival time plus a little for all that is ahead of it in its own request. So a
# document's first sentences compete with everybody's, and its later ones stand behind requests that arrive a moment
# later. The item of the lowest rank is always in the next batch; ranks are fixed and time moves on, so none starves.
#
# Event loop: a callback handles at most ITEMS_PER_STEP items, one batch that ends and one that starts, so that a
# request of 100,000 items delays nobody else's.

log = logging.getLogger(__name__)


class Observer(Protocol):
    """A receiver of the batcher's figures, called on the event loop after those who wait have been answered."""

    def queue_changed(self, request_class: RequestClass, items: int, cost: int) -> None:
        """Take note of the items, and their cost, that wait now in one class of requests."""
        ...

    def batch_started(self, waits: Sequence[float], widths: Sequence[int]) -> None:
        """Take note of a batch: the seconds that each item waited, and the width of each."""
        ...

    def batch_ended(self, outcomes: Sequence[Result | Failure]) -> None:
        """Take note of the outcomes of a batch."""
        ...


class MicroBatcher:
    """Batches for one engine; belongs to the event loop on which it is used first."""

    def __init__(
        self,
        run: BatchFunction,
        *,
        batch_key: Callable[[Any], Hashable],
        size: Callable[[Any], Size],
        capacity: Capacity,
        observer: Observer | None = None,
    ) -> None:
        """Prepare to call ``run`` in ``capacity.parallel_batches`` threads.

        Items only have to be hashable; equal items are the same work, and computed once. Items of equal ``batch_key``
        may share a batch. An item that costs more than ``capacity.batch_cost`` gets a batch of its own.
        """
        self._workers = Workers(run, capacity.parallel_batches)
        self._line = WaitingLine(batch_key=batch_key, size=size, capacity=capacity, on_ready=self._start_batches)
        self._observer = observer
        self._failed_events: set[str] = set()
        self._shown: dict[str, tuple[int, int]] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._will_continue = False
        self._closed = False

    async def submit(self, items: Sequence[Hashable], *, deadline: float = math.inf) -> list[Result | Failure]:
        """Return one outcome per item, in order; an item that is not started by ``deadline`` (loop time) is a Failure.

        The request is accepted as a whole, or refused with UnavailableError. Cancelling it removes from the queue the
        items that nobody else asked for.
        """
        if not items:
            return []
        self._check_open()
        request = await self._line.admit(items, deadline=deadline)
        try:
            self._check_open()
            if not request.is_long:
                self._workers.short_request_came(request.arrived)
            self._line.feed(request)
            return await request.answer
        finally:
            self._line.end(request)
            self._observe_queue()

    def check_room(self) -> None:
        """Raise UnavailableError when any request would be refused; servers ask before they parse a body.

        Room in one class is enough: a short request must get in while long ones fill their class, and vice versa.
        """
        self._check_open()
        short, long = self._line.short, self._line.long
        if not short.has_room(1, 1) and not long.has_room(1, 1):
            raise overloaded(short, long)

    async def close(self) -> None:
        """Refuse new requests, answer those that were accepted, and free the threads."""
        self._closed = True
        self._start_batches()
        while self._line.requests:
            await asyncio.wait([request.answer for request in self._line.requests])
            # Each request's submit() takes it out of the line, in a callback of its own.
            await asyncio.sleep(0)
        await self._workers.close()
        if self._alarm:
            self._alarm.cancel()

    def _start_batches(self) -> None:
        """Give every idle worker a batch, if something waits that it may take."""
        loop = asyncio.get_running_loop()
        now, handled = loop.time(), 0
        while self._workers.idle:
            if handled >= ITEMS_PER_STEP:
                # Other callbacks run first. Only one continuation is scheduled, however often this is reached.
                if not self._will_continue:
                    self._will_continue = True
                    loop.call_soon(self._continue)
                break
            long_too = self._closed or self._workers.may_start_long(now)
            taken = self._line.take(long_too=long_too, share=self._workers.share)
            if not taken:
                break
            handled += len(taken)
            wanted = [waiting for waiting in taken if self._is_wanted(waiting, now)]
            if wanted:
                self._workers.start(Batch(wanted), on_outcome=self._answer, on_end=self._end_batch)
                if self._observer:
                    waits = [now - waiting.arrived for waiting in wanted]
                    self._notify("batch_started", waits, [waiting.width for waiting in wanted])
        self._observe_queue()
        # Items of long requests may wait although a worker is idle, which is then kept free for a short request.
        if self._alarm:
            self._alarm.cancel()
        again = self._workers.next_change(now) if len(self._line) else math.inf
        self._alarm = loop.call_at(again, self._start_batches) if again < math.inf else None

    def _continue(self) -> None:
        self._will_continue = False
        self._start_batches()

    def _is_wanted(self, waiting: WaitingItem, now: float) -> bool:
        """Tell whether an item that was taken is to be computed; settle one whose deadline has passed."""
        if self._line.drop_abandoned(waiting):
            return False
        if waiting.deadline <= now:
            message = "the request's time ran out before its turn came; send less text at once, or ask again later"
            self._line.settle(waiting, Failure(UnavailableError(message, code="deadline_exceeded")))
            return False
        return True

    def _end_batch(self, batch: Batch, outcomes: Sequence[Result | Failure]) -> None:
        for waiting, outcome in zip(batch.items, outcomes, strict=True):
            self._answer(batch, waiting.item, outcome)
        self._start_batches()
        if self._observer:
            self._notify("batch_ended", outcomes)

    def _answer(self, batch: Batch, item: Hashable, outcome: Result | Failure) -> None:
        """Settle an item once; after a failure in its batch it may be computed, and reported, a second time."""
        waiting = batch.unanswered.pop(item, None)
        if waiting:
            self._line.settle(waiting, outcome)

    def _observe_queue(self) -> None:
        """Report the accepted items that are not started, for each class whose figures changed."""
        if not self._observer:
            return
        for budget in (self._line.short, self._line.long):
            figures = budget.items, budget.cost
            if self._shown.get(budget.request_class) != figures:
                self._shown[budget.request_class] = figures
                self._notify("queue_changed", budget.request_class, *figures)

    def _notify(self, event: str, *figures: Any) -> None:
        """Call a method of the observer, whose failures must not harm the requests."""
        try:
            getattr(self._observer, event)(*figures)
        except Exception:
            # A full disk under the metric files would otherwise fill the log as well, several times a batch.
            if event not in self._failed_events:
                self._failed_events.add(event)
                log.exception("an observer failed on %s; requests are answered, further failures are not logged", event)

    def _check_open(self) -> None:
        if self._closed:
            raise UnavailableError("the server is shutting down; send this request again in a moment")
