"""The next batches, collated in a thread while the model computes.

The thread makes what the loop would have made itself, in the same order, so results do not depend on it: a batch
function depends on its rows alone and draws from no global random generator. The loop notes a batch's place only when
it takes the batch; what was collated ahead when a run stops is collated again after a resumption.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import torch

from train.batches import Indices

Batch = dict[str, torch.Tensor]
BATCHES_AHEAD = 2


class EpochBatches(Protocol):
    """The order of the training rows."""

    def epoch(self, number: int) -> Sequence[Indices]:
        """The batches of one epoch."""
        ...


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A batch with the place in the corpus that comes after it."""

    rows: Indices
    batch: Batch
    next_epoch: int
    next_position: int


class Prefetcher:
    """Gives batch after batch from a place in the corpus on; a context manager, whose end stops the thread."""

    def __init__(
        self, batches: EpochBatches, collate: Callable[[Indices], Batch], *, epoch: int, position: int, pin: bool
    ) -> None:
        """``pin`` puts the tensors into page-locked memory, from which a GPU copies while it computes."""
        self._places = _places(batches, epoch, position)
        self._collate, self._pin = collate, pin
        self._ready: queue.Queue[Fetched | BaseException] = queue.Queue(maxsize=BATCHES_AHEAD)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="prefetch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        # A thread that waits for room gets it, and then sees that it is to stop.
        while self._thread.is_alive():
            try:
                self._ready.get(timeout=0.01)
            except queue.Empty:
                continue

    def take(self) -> Fetched:
        """Return the next batch; raises what the batch function raised for it."""
        found = self._ready.get()
        if isinstance(found, BaseException):
            raise found
        return found

    def _work(self) -> None:
        try:
            for rows, next_epoch, next_position in self._places:
                batch = self._collate(rows)
                if self._pin:
                    batch = {name: tensor.pin_memory() for name, tensor in batch.items()}
                self._ready.put(Fetched(rows=rows, batch=batch, next_epoch=next_epoch, next_position=next_position))
                if self._stop.is_set():
                    return
        except BaseException as error:
            self._ready.put(error)


def _places(batches: EpochBatches, epoch: int, position: int) -> Iterator[tuple[Indices, int, int]]:
    while True:
        rows = batches.epoch(epoch)
        last = position + 1 == len(rows)
        following = (epoch + 1, 0) if last else (epoch, position + 1)
        yield rows[position], *following
        epoch, position = following
