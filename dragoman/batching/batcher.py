"""The micro-batcher: items of many requests computed together, each request answered for itself.

::

    submit --> admitted by class --> in line, in steps --> batch --> worker --> outcomes --> answer
               (short or long)       (rank, width)         (when a worker is free)

A batch is picked whenever a worker is free, from what waits then. An item's rank is the time it came plus a little for
all that is ahead of it in its own request, so a document's first sentences stand in line with everyone's and the others
behind those who come a moment later. The item of the lowest rank is in the next batch: ranks stay and time moves on, so
nothing waits for ever. Requests longer than half a batch leave one worker to short ones while such keep coming. An item
is answered when the engine knows its outcome, which may be long before the end of its batch.

The event loop stays free for everyone else: no callback handles more than ITEMS_PER_STEP items (``batch_line``) and one
batch that ends and one that starts. The list of a request's outcomes is filled item by item and handed over as it is.
"""

import asyncio
import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from dragoman.batching.line import ITEMS_PER_STEP, WaitingLine
from dragoman.batching.observer import GuardedObserver, Observer
from dragoman.batching.queue import WaitingItem
from dragoman.batching.requests import overloaded
from dragoman.batching.workers import Batch, Run, Workers
from dragoman.errors import UnavailableError
from dragoman.items.outcomes import Failure, Result
from dragoman.items.sizes import Capacity, Size


class MicroBatcher:
    """Batches for one engine; belongs to the event loop on which it is used first."""

    def __init__(
        self,
        run: Run,
        *,
        batch_key: Callable[[Any], Hashable],
        size: Callable[[Any], Size],
        capacity: Capacity,
        observer: Observer | None = None,
    ) -> None:
        """``run`` is called in ``capacity.parallel_batches`` threads.

        Items only have to be hashable; equal items are the same work, and done once. Items of equal ``batch_key`` may
        share a batch. What costs more than ``capacity.batch_cost`` gets a batch of its own.
        """
        self._workers = Workers(run, capacity.parallel_batches)
        self._line = WaitingLine(batch_key=batch_key, size=size, capacity=capacity, on_ready=self._start_batches)
        self._observer = GuardedObserver(observer) if observer else None
        self._shown: dict[str, tuple[int, int]] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._will_look = False
        self._closed = False

    async def submit(self, items: Sequence[Hashable], *, deadline: float = math.inf) -> list[Result | Failure]:
        """Return one outcome per item, in order; what has not begun at ``deadline``, in the loop's time, is a Failure.

        The request is accepted as a whole, or refused with UnavailableError. Cancelling it takes what nobody else asked
        for out of the queue.
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
        """Raise UnavailableError when no request has a chance, whatever its size, which is not known before parsing.

        Room in one class is a chance: a short request must get in while long ones fill their class, and the other way
        round.
        """
        self._check_open()
        short, long = self._line.short, self._line.long
        if not short.has_room(1, 1) and not long.has_room(1, 1):
            raise overloaded(short, long)

    async def close(self) -> None:
        """Refuse what comes from now on, answer what was accepted, and free the threads."""
        self._closed = True
        self._start_batches()
        while self._line.requests:
            await asyncio.wait([request.answer for request in self._line.requests])
            # Their submit() takes them out, in a callback of its own.
            await asyncio.sleep(0)
        await self._workers.close()
        if self._alarm:
            self._alarm.cancel()

    def _start_batches(self) -> None:
        """Give every worker that is free a batch, if something waits that it may take."""
        loop = asyncio.get_running_loop()
        now, handled = loop.time(), 0
        while self._workers.idle and handled < ITEMS_PER_STEP:
            long_too = self._closed or self._workers.may_start_long(now)
            taken = self._line.take(long_too=long_too, share=self._workers.share)
            if not taken:
                break
            handled += len(taken)
            if wanted := [waiting for waiting in taken if self._is_wanted(waiting, now)]:
                self._start(wanted, now)
        else:
            if self._workers.idle:
                self._look_later(loop)
        self._observe_queue()
        self._set_alarm(loop, now)

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._will_look:
            self._will_look = True
            loop.call_soon(self._look_again)

    def _look_again(self) -> None:
        self._will_look = False
        self._start_batches()

    def _is_wanted(self, waiting: WaitingItem, now: float) -> bool:
        """Tell whether an item that was taken is to be computed; one that comes too late is settled here."""
        if self._line.drop_abandoned(waiting):
            return False
        if waiting.deadline <= now:
            self._line.settle(waiting, _too_late())
            return False
        return True

    def _start(self, items: list[WaitingItem], now: float) -> None:
        self._workers.start(Batch(items), on_outcome=self._answer, on_end=self._end_batch)
        if self._observer:
            waits = [now - waiting.arrived for waiting in items]
            self._observer.batch_started(waits, [waiting.width for waiting in items])

    def _end_batch(self, batch: Batch, outcomes: Sequence[Result | Failure]) -> None:
        for waiting, outcome in zip(batch.items, outcomes, strict=True):
            self._answer(batch, waiting.item, outcome)
        self._start_batches()
        if self._observer:
            self._observer.batch_ended(outcomes)

    def _answer(self, batch: Batch, item: Hashable, outcome: Result | Failure) -> None:
        """Settle an item unless it is: it may be computed twice when something fails in its batch."""
        if waiting := batch.unanswered.pop(item, None):
            self._line.settle(waiting, outcome)

    def _set_alarm(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        """Look again when a worker that is idle need not be kept free any longer."""
        if self._alarm:
            self._alarm.cancel()
        again = self._workers.next_change(now) if len(self._line) else math.inf
        self._alarm = loop.call_at(again, self._start_batches) if again < math.inf else None

    def _observe_queue(self) -> None:
        """Show what has been accepted and not begun, of each class whose figures changed."""
        if not self._observer:
            return
        for budget in (self._line.short, self._line.long):
            figures = budget.items, budget.cost
            if self._shown.get(budget.request_class) != figures:
                self._shown[budget.request_class] = figures
                self._observer.queue_changed(budget.request_class, *figures)

    def _check_open(self) -> None:
        if self._closed:
            raise UnavailableError("the server is shutting down; send this request again in a moment")


def _too_late() -> Failure:
    message = "the request's time ran out before its turn came; send less text at once, or ask again later"
    return Failure(UnavailableError(message, code="deadline_exceeded"))
