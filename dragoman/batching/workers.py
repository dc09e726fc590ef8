"""The threads in which batches are computed, the batches in flight, and the times at which others may start."""

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from dragoman.batching.queue import WaitingItem
from dragoman.errors import InferenceError
from dragoman.items.outcomes import Failure, OnOutcome, Result

# While short requests keep coming, batches of long ones never occupy all workers:
#
#   worker 1   | long ........ | long ........ | long ........ |      until KEEP_FREE_S after the last short request,
#   worker 2   | short | - - - - | short | short | - - - - - - |      then long ones may start here as well

log = logging.getLogger(__name__)

# Seconds after a short request in which long ones leave one worker free for the next. A choice, not a measurement: with
# less, a short request waits behind a batch of a document more often; with more, a worker stands idle longer.
KEEP_FREE_S = 2.0


class BatchFunction(Protocol):
    """The function that computes a batch."""

    def __call__(self, items: Sequence[Any], *, on_outcome: OnOutcome) -> Sequence[Result | Failure]:
        """Return one outcome per item, in order; ``on_outcome`` may get some of them early, in any thread."""
        ...


class Batch:
    """The items that a worker computes, and those of them that are not answered yet."""

    def __init__(self, items: list[WaitingItem]) -> None:
        """Take items that are all of long requests, or all of short ones."""
        self.items, self.is_long = items, items[0].is_long
        self.unanswered = {waiting.item: waiting for waiting in items}


class Workers:
    """A fixed number of workers; belongs to one event loop."""

    def __init__(self, run: BatchFunction, count: int) -> None:
        """Prepare to call ``run`` in ``count`` threads."""
        self._run, self._count = run, count
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="batch")
        self._running: dict[asyncio.Future[Sequence[Result | Failure]], Batch] = {}
        self._keep_free_until = -math.inf

    def start(
        self,
        batch: Batch,
        *,
        on_outcome: Callable[[Batch, Any, Result | Failure], None],
        on_end: Callable[[Batch, Sequence[Result | Failure]], None],
    ) -> None:
        """Compute a batch; both are called on the event loop, ``on_outcome`` with items whose outcome is known early.

        ``on_end`` gets one outcome per item; where ``run`` raised or miscounted, all of them are Failures.
        """
        loop = asyncio.get_running_loop()

        def early(item: Any, outcome: Result | Failure) -> None:
            # A loop that was closed under a batch has nobody left who waits.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(on_outcome, batch, item, outcome)

        def ended(future: asyncio.Future[Sequence[Result | Failure]]) -> None:
            del self._running[future]
            error, size = future.exception(), len(batch.items)
            if error is None and len(future.result()) == size:
                on_end(batch, future.result())
                return
            log.error("a batch of %d items failed: it raised, or gave another number of outcomes", size, exc_info=error)
            on_end(batch, [Failure(InferenceError("the server failed on this request; its log says why"))] * size)

        items = list(batch.unanswered)
        future: asyncio.Future[Sequence[Result | Failure]]
        try:
            future = loop.run_in_executor(self._pool, lambda: self._run(items, on_outcome=early))
        except RuntimeError as error:
            # The system gives no more threads. The items are out of the line, so they must be answered here.
            future = loop.create_future()
            future.set_exception(error)
        self._running[future] = batch
        future.add_done_callback(ended)

    def short_request_came(self, now: float) -> None:
        """Keep a worker from long requests for a while."""
        self._keep_free_until = now + KEEP_FREE_S

    @property
    def idle(self) -> int:
        """Return the number of workers that have no batch."""
        return self._count - len(self._running)

    def may_start_long(self, now: float) -> bool:
        """Tell whether an idle worker may be given a batch of long requests."""
        if self._count == 1 or now >= self._keep_free_until:
            return True
        return sum(batch.is_long for batch in self._running.values()) < self._count - 1

    def share(self, waiting: int, *, is_long: bool) -> int:
        """Return how many items the next batch may have, so that all workers of its class get about the same work."""
        alike = [len(batch.items) for batch in self._running.values() if batch.is_long == is_long]
        workers = self._count - (len(self._running) - len(alike))
        # By the first bound no idle worker is left with nothing; the second counts what the busy ones already have.
        return min(math.ceil(waiting / self.idle), math.ceil((waiting + sum(alike)) / workers))

    def next_change(self, now: float) -> float:
        """Return the time until which an idle worker is kept free for short requests; infinity if none is."""
        return self._keep_free_until if self.idle and now < self._keep_free_until else math.inf

    async def close(self) -> None:
        """Free the threads when all batches have ended, including those that are started meanwhile."""
        while self._running:
            await asyncio.wait(self._running)
        self._pool.shutdown()
