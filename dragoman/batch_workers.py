"""The threads in which batches are computed: which batch each has, and when another one may begin."""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from dragoman.batch_queue import WaitingItem
from dragoman.errors import InferenceError
from dragoman.tasks import Failure, OnOutcome, Result

log = logging.getLogger(__name__)

# How long after a short request long ones leave one worker free for the next.
KEEP_FREE_S = 2.0
# A sentence on which the model repeats itself up to the token limit takes ten times as long as those in its batch, and
# with so few rows left a step costs a fraction of what it did. After so many seconds its worker counts as free, and
# another batch shares the processor with it, so that nobody waits for the end.
DRAGGING_S, DRAGGING_ITEMS = 0.3, 2


class Run(Protocol):
    """Computes a batch."""

    def __call__(self, items: Sequence[Any], *, on_outcome: OnOutcome) -> Sequence[Result | Failure]:
        """One outcome per item, in order; ``on_outcome`` may get some of them early, in any thread."""
        ...


class Batch:
    """What a worker computes, and what of it is not answered yet."""

    def __init__(self, items: list[WaitingItem], *, started: float) -> None:
        """The items are all of long requests, or all of short ones; ``started`` is in the event loop's time."""
        self.items, self.started = items, started
        self.is_long = items[0].is_long
        self.unanswered = {waiting.item: waiting for waiting in items}

    def drags(self, now: float) -> bool:
        """Whether nearly all of it is done and the rest takes unusually long."""
        return len(self.unanswered) <= DRAGGING_ITEMS and now >= self.started + DRAGGING_S


class Workers:
    """A fixed number of workers; belongs to one event loop."""

    def __init__(self, run: Run, count: int) -> None:
        """``run`` is called in up to twice ``count`` threads, of which as many as are beyond ``count`` drag."""
        self._run, self._count = run, count
        self._pool = ThreadPoolExecutor(2 * count, thread_name_prefix="batch")
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
            loop.call_soon_threadsafe(on_outcome, batch, item, outcome)

        def ended(future: asyncio.Future[Sequence[Result | Failure]]) -> None:
            del self._running[future]
            on_end(batch, _outcomes(future, len(batch.items)))

        items = list(batch.unanswered)
        future = loop.run_in_executor(self._pool, lambda: self._run(items, on_outcome=early))
        self._running[future] = batch
        future.add_done_callback(ended)

    def short_request_came(self, now: float) -> None:
        """Keep a worker from long requests for a while."""
        self._keep_free_until = now + KEEP_FREE_S

    def idle(self, now: float) -> int:
        """How many batches may begin."""
        return min(self._count - len(self._busy(now)), 2 * self._count - len(self._running))

    def may_start_long(self, now: float) -> bool:
        """Whether a batch of long requests may be among them."""
        if self._count == 1 or now >= self._keep_free_until:
            return True
        return sum(batch.is_long for batch in self._busy(now)) < self._count - 1

    def share(self, waiting: int, now: float, *, is_long: bool) -> int:
        """How many items a batch may have, so that all workers which compute this kind have about the same to do."""
        busy = self._busy(now)
        alike = [len(batch.items) for batch in busy if batch.is_long == is_long]
        workers = self._count - (len(busy) - len(alike))
        return min(math.ceil(waiting / self.idle(now)), math.ceil((waiting + sum(alike)) / workers))

    def next_change(self, now: float) -> float:
        """When another batch may begin, if none ends or is answered before."""
        times = (self._keep_free_until, *(batch.started + DRAGGING_S for batch in self._running.values()))
        return min((time for time in times if time > now), default=math.inf)

    async def close(self) -> None:
        """Free the threads when all batches have ended, those included that ending ones let begin."""
        while self._running:
            await asyncio.wait(self._running)
        self._pool.shutdown()

    def _busy(self, now: float) -> list[Batch]:
        return [batch for batch in self._running.values() if not batch.drags(now)]


def _outcomes(future: "asyncio.Future[Sequence[Result | Failure]]", size: int) -> Sequence[Result | Failure]:
    error = future.exception()
    if error is None and len(future.result()) == size:
        return future.result()
    log.error("a batch of %d items was not answered as it must be", size, exc_info=error)
    return [Failure(InferenceError("the server failed on this request; its log says why"))] * size
