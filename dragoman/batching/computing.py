"""Computation of batches, and the attribution of failures: to an item, or to the engine."""

import logging
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

from dragoman.errors import InferenceError, InvalidInput, UnavailableError
from dragoman.items.batches import token_batches
from dragoman.items.outcomes import Failure, OnOutcome, Result
from dragoman.items.sizes import Size
from dragoman.tasks.base import Task

# batch fails --> the warm-up example alone --fails--> the engine is at fault: InferenceError (500) for all, 2 calls
#                           |                                           ^
#                         works                                         | nothing of several items could be computed,
#                           v                                           | or the example fails by now
#                 halves, and halves of halves, until the bad items stand alone
#                           |
#                           v
#                 InvalidInput (422) for those
#
# A dead engine (out of memory, a lost device) is therefore called twice per batch and never blamed on a text. After
# FAILURES_UNTIL_UNHEALTHY batches in a row with which the example failed too, the model counts as unhealthy, until
# something is computed again. One that computes the example and nothing of a batch (a kind of decoding is broken, say)
# stays healthy, since other requests are still answered.

log = logging.getLogger(__name__)

FAILURES_UNTIL_UNHEALTHY = 3
# Items that are all at hand have nobody waiting behind them: their batches may be larger than those of a server.
OFFLINE_FACTOR = 2

Outcomes = list[Result | Failure]
# The outcomes of items computed apart; the exception where there is none.
Attempts = list[Result | Failure | Exception]


class Computing:
    """The batches of one loaded task; threads may share it."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._example: tuple[Any, ...] | None = None
        self._failures_in_a_row = 0
        # As many threads as batches that the engine computes at once: they only wait for it.
        self._pool = ThreadPoolExecutor(task.capacity.parallel_batches, thread_name_prefix="compute")

    @property
    def is_healthy(self) -> bool:
        """Tell whether at least one of the last batches could be computed."""
        return self._failures_in_a_row < FAILURES_UNTIL_UNHEALTHY

    def batch(self, items: Sequence[Any], *, on_outcome: OnOutcome | None = None) -> Outcomes:
        """Compute one batch of equal keys: one outcome per item, in order. Never raises.

        ``on_outcome`` may get some of them early, in any thread.
        """
        found = self._attempt(items, on_outcome)
        if not isinstance(found, Exception):
            return found
        if not self._engine_works():
            return self._engine_at_fault([found] * len(items))
        # One item alone gets a second try: engines compute several batches side by side, and it may have been another
        # one that failed.
        parts = _halves(items) if len(items) > 1 else [items]
        attempts = [attempt for part in parts for attempt in self._apart(part, on_outcome)]
        failed = [error for error in attempts if isinstance(error, Exception) and not isinstance(error, InvalidInput)]
        if failed and (len(failed) == len(attempts) > 1 or not self._engine_works()):
            return self._engine_at_fault(attempts)
        for error in failed:
            log.error("an item could not be computed", exc_info=error)
        return [Failure(_unprocessable(each)) if isinstance(each, Exception) else each for each in attempts]

    def all(
        self, items: Sequence[Any], *, deadline: float | None = None, on_outcome: OnOutcome | None = None
    ) -> Outcomes:
        """Compute any items in batches of equal keys and similar sizes, equal items once; one outcome each, in order.

        Batches that have not begun at ``deadline``, in seconds of ``time.monotonic``, are not computed any more.
        """
        groups: dict[Hashable, list[Any]] = {}
        for item in dict.fromkeys(items):
            groups.setdefault(self._task.batch_key(item), []).append(item)
        batches: list[list[Any]] = []
        for group in groups.values():
            sizes: list[Size] = [self._task.size(item) for item in group]
            budget = OFFLINE_FACTOR * self._task.capacity.batch_cost
            # Items of equal keys have equal options, and so the same number of rows.
            for places in token_batches([size.width for size in sizes], rows=sizes[0].rows, batch_tokens=budget):
                batches.append([group[place] for place in places])

        def until_deadline(batch: Sequence[Any]) -> Outcomes:
            if deadline is None or monotonic() < deadline:
                return self.batch(batch, on_outcome=on_outcome)
            message = "the request was not computed in time; send less at once, or send it again later"
            return [Failure(UnavailableError(message, code="deadline_exceeded"))] * len(batch)

        mapped: Callable[..., Iterator[Outcomes]] = map if len(batches) == 1 else self._pool.map
        outcomes: dict[Any, Result | Failure] = {}
        for batch, found in zip(batches, mapped(until_deadline, batches), strict=True):
            outcomes.update(zip(batch, found, strict=True))
        return [outcomes[item] for item in items]

    def probe(self) -> bool:
        """Compute the example and tell whether that worked; a model that works again counts as healthy again."""
        try:
            if self._example is None:
                self._example = tuple(self._task.prepare(self._task.example_item).items)[:1]
        except Exception:
            return False
        return not isinstance(self._attempt(self._example, None), Exception)

    def close(self) -> None:
        """Wait for the batches in flight and free the threads."""
        self._pool.shutdown()

    def _attempt(self, items: Sequence[Any], on_outcome: OnOutcome | None) -> Outcomes | Exception:
        """Compute items once: one outcome per item, or the exception in the place of all of them."""
        try:
            outcomes = list(self._task.run(items, on_outcome=on_outcome))
        except Exception as error:
            return error
        if len(outcomes) != len(items):
            return InferenceError(f"the engine gave {len(outcomes)} outcomes for {len(items)} items")
        self._failures_in_a_row = 0
        return outcomes

    def _apart(self, items: Sequence[Any], on_outcome: OnOutcome | None) -> Attempts:
        """Compute items, and the halves of what fails; the exception stands for an item that fails alone."""
        found = self._attempt(items, on_outcome)
        if not isinstance(found, Exception):
            return [*found]
        if len(items) == 1:
            return [found]
        return [attempt for half in _halves(items) for attempt in self._apart(half, on_outcome)]

    def _engine_at_fault(self, attempts: Sequence[Result | Failure | Exception]) -> Outcomes:
        """Fail the items without an outcome in the engine's name, with one traceback for all."""
        failed = [error for error in attempts if isinstance(error, Exception)]
        log.error("the engine failed on a batch of %d items", len(attempts), exc_info=failed[0])
        return [Failure(_engine_failed(each)) if isinstance(each, Exception) else each for each in attempts]

    def _engine_works(self) -> bool:
        """Tell whether the example can be computed beside a batch that failed, and count the batch if it cannot."""
        works = self.probe()
        if not works:
            self._failures_in_a_row += 1
        return works


def _halves(items: Sequence[Any]) -> list[Sequence[Any]]:
    middle = len(items) // 2
    return [items[:middle], items[middle:]]


def _engine_failed(error: Exception) -> InferenceError:
    failure = InferenceError("the engine failed, not this request; the server's log says why")
    failure.__cause__ = error
    return failure


def _unprocessable(error: Exception) -> InvalidInput:
    """Return the error of an item that fails alone; a refusal of the engine itself keeps its own words."""
    if isinstance(error, InvalidInput):
        return error
    failure = InvalidInput(
        "the model failed on this input, and on this input alone; change it, or report it with the server's log",
        field="input",
        code="unprocessable_text",
    )
    failure.__cause__ = error
    return failure
