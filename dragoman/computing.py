"""Computation of batches with the blame put where it belongs: on an item, or on the engine.

::

    batch fails --> the warm-up example alone --fails--> the engine is at fault: InferenceError (500) for all, 2 calls
                              |
                            works
                              v
                    halves, and halves of halves, until the bad items stand alone: InvalidInput (422) for those

A dead engine (out of memory, a lost device) is therefore called twice per batch and never blamed on a text. After
``FAILURES_UNTIL_UNHEALTHY`` such batches in a row the model counts as unhealthy, until something is computed again.
"""

import logging
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

from dragoman.errors import InferenceError, InvalidInput, UnavailableError
from dragoman.outcomes import Failure, OnOutcome, Result
from dragoman.sizes import Size
from dragoman.tasks.base import Task
from dragoman.token_batches import token_batches

log = logging.getLogger(__name__)

FAILURES_UNTIL_UNHEALTHY = 3
# Items that are all at hand have nobody waiting behind them: their batches may be larger than those of a server.
OFFLINE_FACTOR = 2

Outcomes = list[Result | Failure]


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
        """Tell whether the last batches, or one of them at least, could be computed."""
        return self._failures_in_a_row < FAILURES_UNTIL_UNHEALTHY

    def batch(self, items: Sequence[Any], *, on_outcome: OnOutcome | None = None) -> Outcomes:
        """Compute one batch of equal keys: one outcome per item, in order. Never raises.

        ``on_outcome`` may get some of them early, in any thread.
        """
        try:
            return self._attempt(items, on_outcome)
        except Exception as error:
            if not self._engine_works():
                self._failures_in_a_row += 1
                log.error("the engine failed on a batch of %d items", len(items), exc_info=error)
                return [Failure(_engine_failed(error))] * len(items)
            return self._halved(items, error, on_outcome)

    def all(
        self, items: Sequence[Any], *, deadline: float | None = None, on_outcome: OnOutcome | None = None
    ) -> Outcomes:
        """Compute any items in batches of equal keys and similar sizes, equal items once; one outcome each, in order.

        Batches that have not begun at ``deadline``, in seconds of ``time.monotonic``, are not computed any more.
        """
        batches = list(self._batches(list(dict.fromkeys(items))))

        def until_deadline(batch: Sequence[Any]) -> Outcomes:
            return [_too_late()] * len(batch) if _is_over(deadline) else self.batch(batch, on_outcome=on_outcome)

        mapped: Callable[..., Iterator[Outcomes]] = map if len(batches) == 1 else self._pool.map
        outcomes: dict[Any, Result | Failure] = {}
        for batch, found in zip(batches, mapped(until_deadline, batches), strict=True):
            outcomes.update(zip(batch, found, strict=True))
        return [outcomes[item] for item in items]

    def probe(self) -> bool:
        """Compute the example, so that a model that works again counts as healthy again."""
        return self._engine_works()

    def close(self) -> None:
        """Let what is being computed end."""
        self._pool.shutdown()

    def _attempt(self, items: Sequence[Any], on_outcome: OnOutcome | None) -> Outcomes:
        outcomes = list(self._task.run(items, on_outcome=on_outcome))
        if len(outcomes) != len(items):
            raise InferenceError(f"the engine gave {len(outcomes)} outcomes for {len(items)} items")
        self._failures_in_a_row = 0
        return outcomes

    def _halved(self, items: Sequence[Any], error: Exception, on_outcome: OnOutcome | None) -> Outcomes:
        """Compute the halves of a batch that failed while the engine works."""
        if len(items) == 1:
            log.error("an item of size %s could not be computed", self._task.size(items[0]), exc_info=error)
            return [Failure(_unprocessable(error))]
        middle = len(items) // 2
        return [outcome for half in (items[:middle], items[middle:]) for outcome in self._half(half, on_outcome)]

    def _half(self, items: Sequence[Any], on_outcome: OnOutcome | None) -> Outcomes:
        try:
            return self._attempt(items, on_outcome)
        except Exception as error:
            return self._halved(items, error, on_outcome)

    def _engine_works(self) -> bool:
        try:
            if self._example is None:
                self._example = tuple(self._task.prepare(self._task.example_item).items)[:1]
            self._attempt(self._example, None)
        except Exception:
            return False
        return True

    def _batches(self, items: Sequence[Any]) -> Iterator[list[Any]]:
        budget = OFFLINE_FACTOR * self._task.capacity.batch_cost
        groups: dict[Hashable, list[Any]] = {}
        for item in items:
            groups.setdefault(self._task.batch_key(item), []).append(item)
        for group in groups.values():
            sizes: list[Size] = [self._task.size(item) for item in group]
            # Items of equal keys have equal options, and so the same number of rows.
            cut = token_batches([size.width for size in sizes], rows=sizes[0].rows, batch_tokens=budget)
            yield from ([group[position] for position in batch] for batch in cut)


def _is_over(deadline: float | None) -> bool:
    return deadline is not None and monotonic() >= deadline


def _too_late() -> Failure:
    message = "the request was not computed in time; send less at once, or send it again later"
    return Failure(UnavailableError(message, code="deadline_exceeded"))


def _engine_failed(error: Exception) -> InferenceError:
    failure = InferenceError("the engine failed, not this request; the server's log says why")
    failure.__cause__ = error
    return failure


def _unprocessable(error: Exception) -> InvalidInput:
    failure = InvalidInput(
        "the model failed on this input, and on this input alone; change it, or report it with the server's log",
        field="input",
        code="unprocessable_text",
    )
    failure.__cause__ = error
    return failure
