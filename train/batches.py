"""Batches that fill a budget with examples of like length, in an order that depends on seed and epoch alone.

An example has a length on each of its sides, in the units of its task: a text its tokens, an image 1. A batch is padded
to the longest example on every side, so its size is rows x (sum of the longest lengths).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
Lengths = npt.NDArray[np.int64]
"""Lengths of examples, shape (examples, sides)."""
# Sorting inside windows of this many batches leaves little padding and still mixes the corpus anew in each epoch.
WINDOW_BATCHES = 100


@dataclass(frozen=True, kw_only=True)
class Units:
    """How large a batch is: the units of its examples, and the same with padding."""

    real: int
    padded: int


class EvenBatches:
    """The batches of every epoch over one corpus."""

    def __init__(self, lengths: Lengths, *, batch_units: int, seed: int) -> None:
        """A batch holds at most ``batch_units`` padded units; a longer example makes a batch of its own."""
        self._lengths, self._batch_units, self._seed = lengths, batch_units, seed
        self._epoch = -1
        self._batches: list[Indices] = []

    def epoch(self, number: int) -> Sequence[Indices]:
        """The batches of one epoch as row numbers: every row once, whole batches in random order."""
        if number != self._epoch:
            self._batches, self._epoch = self._make(np.random.default_rng((self._seed, number))), number
        return self._batches

    def _make(self, rng: np.random.Generator) -> list[Indices]:
        order = rng.permutation(len(self._lengths))
        mean_units = max(1.0, float(self._lengths.sum(axis=1).mean()))
        window = max(1, int(WINDOW_BATCHES * self._batch_units / mean_units))
        batches = [
            batch
            for start in range(0, len(order), window)
            for batch in cut(by_length(order[start : start + window], self._lengths), self._lengths, self._batch_units)
        ]
        # Whole batches are shuffled: neighbours of like length would make the gradient drift with the length.
        return [batches[position] for position in rng.permutation(len(batches))]


def by_length(rows: Indices, lengths: Lengths) -> Indices:
    """Sort rows by their last side and, alternately rising and falling, by each side before it.

    Neighbours then differ little on every side.
    """
    keys: list[Lengths] = []
    for side in range(lengths.shape[1] - 1):
        own, next_side = lengths[rows, side], lengths[rows, side + 1]
        keys.append(np.where(next_side % 2, own, -own))
    return rows[np.lexsort((*keys, lengths[rows, -1]))]


def cut(rows: Indices, lengths: Lengths, batch_units: int) -> list[Indices]:
    """Cut rows into consecutive batches whose padded size fits the budget."""
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
