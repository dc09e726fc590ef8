"""Being told what the batcher does."""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from dragoman.batching.requests import RequestClass
from dragoman.items.outcomes import Failure, Result

log = logging.getLogger(__name__)


class Observer(Protocol):
    """Is told what happens, on the event loop, after those who wait have been answered."""

    def queue_changed(self, request_class: RequestClass, items: int, cost: int) -> None:
        """Take note that so much of short, or of long requests waits now."""
        ...

    def batch_started(self, waits: Sequence[float], widths: Sequence[int]) -> None:
        """Take note of a batch of items of these widths, each having waited so many seconds."""
        ...

    def batch_ended(self, outcomes: Sequence[Result | Failure]) -> None:
        """Take note of what became of a batch."""
        ...


class GuardedObserver:
    """An observer whose failures harm nobody: the first of each kind is logged, and work goes on."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._failed: set[str] = set()

    def queue_changed(self, request_class: RequestClass, items: int, cost: int) -> None:
        """See ``Observer``."""
        self._tell("queue_changed", lambda: self._observer.queue_changed(request_class, items, cost))

    def batch_started(self, waits: Sequence[float], widths: Sequence[int]) -> None:
        """See ``Observer``."""
        self._tell("batch_started", lambda: self._observer.batch_started(waits, widths))

    def batch_ended(self, outcomes: Sequence[Result | Failure]) -> None:
        """See ``Observer``."""
        self._tell("batch_ended", lambda: self._observer.batch_ended(outcomes))

    def _tell(self, event: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            # A full disk under the metric files would otherwise fill the log as well, several times a batch.
            if event not in self._failed:
                self._failed.add(event)
                log.exception("an observer failed on %s; requests are answered, further failures are not logged", event)
