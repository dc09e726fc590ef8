"""Batches that fill a token budget with sentences of like length, in an order that depends on seed and epoch alone."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
Lengths = npt.NDArray[np.int64]
# Sorting inside windows of this many batches leaves little padding and still mixes the corpus anew in each epoch.
WINDOW_BATCHES = 100


class TokenBatches:
    """The batches of every epoch over one corpus."""

    def __init__(self, source_lengths: Lengths, target_lengths: Lengths, *, batch_tokens: int, seed: int) -> None:
        """Lengths count tokens with the end mark; a batch holds at most ``batch_tokens`` padded tokens of both sides.

        A pair longer than the budget makes a batch of its own.
        """
        self._sources, self._targets = source_lengths, target_lengths
        self._batch_tokens, self._seed = batch_tokens, seed
        self._epoch = -1
        self._batches: list[Indices] = []

    def epoch(self, number: int) -> Sequence[Indices]:
        """The batches of one epoch as row numbers: every row once, whole batches in random order."""
        if number != self._epoch:
            self._batches, self._epoch = self._make(np.random.default_rng((self._seed, number))), number
        return self._batches

    def _make(self, rng: np.random.Generator) -> list[Indices]:
        order = rng.permutation(len(self._sources))
        mean_tokens = max(1.0, float(np.mean(self._sources + self._targets)))
        window = max(1, int(WINDOW_BATCHES * self._batch_tokens / mean_tokens))
        batches = [
            batch
            for start in range(0, len(order), window)
            for batch in cut(
                by_length(order[start : start + window], self._sources, self._targets),
                self._sources,
                self._targets,
                self._batch_tokens,
            )
        ]
        # Whole batches are shuffled: neighbours of like length would make the gradient drift with the length.
        return [batches[position] for position in rng.permutation(len(batches))]


def by_length(rows: Indices, source_lengths: Lengths, target_lengths: Lengths) -> Indices:
    """Rows by target length and, alternately rising and falling, by source length: neighbours differ little in both."""
    sources, targets = source_lengths[rows], target_lengths[rows]
    return rows[np.lexsort((np.where(targets % 2, sources, -sources), targets))]


def cut(rows: Indices, source_lengths: Lengths, target_lengths: Lengths, batch_tokens: int) -> list[Indices]:
    """Consecutive batches of rows whose padded size, rows x (longest source + longest target), fits the budget."""
    batches, start, longest_source, longest_target = [], 0, 0, 0
    for position, row in enumerate(rows):
        source, target = max(longest_source, source_lengths[row]), max(longest_target, target_lengths[row])
        if position > start and (position - start + 1) * (source + target) > batch_tokens:
            batches.append(rows[start:position])
            start, source, target = position, source_lengths[row], target_lengths[row]
        longest_source, longest_target = source, target
    if len(rows):
        batches.append(rows[start:])
    return batches


def padding_share(batches: Sequence[Indices], source_lengths: Lengths, target_lengths: Lengths) -> float:
    """Share of the padded tokens that are padding, between 0 and 1."""
    padded = sum(len(rows) * int(source_lengths[rows].max() + target_lengths[rows].max()) for rows in batches)
    real = sum(int(source_lengths[rows].sum() + target_lengths[rows].sum()) for rows in batches)
    return 1 - real / padded
