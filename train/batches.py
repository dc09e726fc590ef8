"""Batches that fill a budget with examples of like length, and the thread that collates the next ones.

An example has a length on each of its sides, in the units of its task: a text its tokens, or 1 where all are equal. A
batch is padded to the longest example on every side, so its size is rows x (sum of the longest lengths). The order
depends on seed and epoch alone: a resumed run finds its place by two numbers.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Batch = dict[str, "torch.Tensor"]
Indices = npt.NDArray[np.int64]
Lengths = npt.NDArray[np.int64]
"""Lengths of examples, shape (examples, sides)."""
# Sorting inside windows of this many batches leaves little padding and still mixes the corpus anew in each epoch.
WINDOW_BATCHES = 100
# One that waits while another is computed would do; a second evens out batches that take longer to collate.
BATCHES_AHEAD = 2


@dataclass(frozen=True, kw_only=True)
class Units:
    """The size of a batch: the units of its examples, and the same with padding."""

    real: int
    padded: int


class EvenBatches:
    """The batches of every epoch over one corpus."""

    def __init__(self, lengths: Lengths, *, batch_units: int, seed: int) -> None:
        """Fill batches to at most ``batch_units`` padded units; a longer example makes a batch of its own."""
        self._lengths, self._batch_units, self._seed = lengths, batch_units, seed
        self._epoch = -1
        self._batches: list[Indices] = []

    def epoch(self, number: int) -> Sequence[Indices]:
        """Order one epoch: every row once, as batches of row numbers, whole batches in random order."""
        if number == self._epoch:
            return self._batches
        rng, lengths = np.random.default_rng((self._seed, number)), self._lengths
        order = rng.permutation(len(lengths))
        mean_units = max(1.0, float(lengths.sum(axis=1).mean()))
        window = max(1, int(WINDOW_BATCHES * self._batch_units / mean_units))
        batches: list[Indices] = []
        for start in range(0, len(order), window):
            batches += cut(by_length(order[start : start + window], lengths), lengths, self._batch_units)
        # Whole batches are shuffled: neighbours of like length would make the gradient drift with the length.
        self._batches, self._epoch = [batches[position] for position in rng.permutation(len(batches))], number
        return self._batches


def by_length(rows: Indices, lengths: Lengths) -> Indices:
    """Sort rows by their last side and, alternately rising and falling, by each side before it.

    Neighbours then differ little on every side.
    """
    # Were every side rising, each step of the last side would send the side before it from its longest back to its
    # shortest. Falling on odd lengths, it goes on from the end that it has reached.
    keys: list[Lengths] = []
    for side in range(lengths.shape[1] - 1):
        own, next_side = lengths[rows, side], lengths[rows, side + 1]
        keys.append(np.where(next_side % 2, own, -own))
    return rows[np.lexsort((*keys, lengths[rows, -1]))]


def cut(rows: Indices, lengths: Lengths, batch_units: int) -> list[Indices]:
    """Cut rows into consecutive batches whose padded size fits the budget."""
    if len(rows) and (lengths[rows] == lengths[rows[0]]).all():
        # Examples of one length: no batch has to be measured.
        size = max(1, batch_units // max(1, int(lengths[rows[0]].sum())))
        return [rows[start : start + size] for start in range(0, len(rows), size)]
    # The padded size of a batch follows from its longest example on each side alone, so one pass is enough.
    batches, start = [], 0
    longest = np.zeros(lengths.shape[1], dtype=np.int64)
    for position, row in enumerate(rows):
        longer = np.maximum(longest, lengths[row])
        if position > start and (position - start + 1) * int(longer.sum()) > batch_units:
            batches.append(rows[start:position])
            start, longer = position, lengths[row]
        longest = longer
    if len(rows):
        batches.append(rows[start:])
    return batches


def units(rows: Indices, lengths: Lengths) -> Units:
    """Count the units of a batch with and without its padding."""
    chosen = lengths[rows]
    return Units(real=int(chosen.sum()), padded=len(rows) * int(chosen.max(axis=0).sum()))


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A batch with the place in the corpus that comes after it."""

    rows: Indices
    batch: Batch
    next_epoch: int
    next_position: int


class Prefetcher:
    """The batches from a place in the corpus on, collated in a thread while the model computes.

    The thread makes what the loop would have made itself, in the same order, so results do not depend on it: a batch
    function depends on its rows alone and draws from no global random generator. The loop notes a batch's place only
    when it takes the batch; what was collated ahead when a run stops is collated again after a resumption.

    A context manager, whose end stops the thread.
    """

    def __init__(
        self,
        batches: Callable[[int], Sequence[Indices]],
        collate: Callable[[Indices], Batch],
        *,
        epoch: int,
        position: int,
        pin: bool,
    ) -> None:
        """Start at a position in an epoch, whose batches ``batches(epoch)`` gives.

        ``pin`` puts the tensors into page-locked memory, from which a GPU copies while it computes.
        """
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
        """Return the next batch; raises whatever the batch function raised for it."""
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


def _places(
    batches: Callable[[int], Sequence[Indices]], epoch: int, position: int
) -> Iterator[tuple[Indices, int, int]]:
    while True:
        rows = batches(epoch)
        last = position + 1 == len(rows)
        following = (epoch + 1, 0) if last else (epoch, position + 1)
        yield rows[position], *following
        epoch, position = following
