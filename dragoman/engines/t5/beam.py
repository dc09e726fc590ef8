"""Beam search as ``generate`` of transformers 5.23 does it with ``early_stopping=False``, on the device alone."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dragoman.engines.t5.model import T5Model
from dragoman.engines.t5.slots import SlotReport, Slots
from dragoman.text.tokenizer import EOS_ID

# One step of a slot:
#
#   width running beams --> 2 * width candidates --+--> the best width that go on: the running beams of the next step
#                                                  '--> those of the best width that end --+--> the best width ended
#                                                        width that ended before ----------'
#
# - A beam has one continuation that ends, so of 2 * width candidates at most width end, and width always go on.
# - Running beams are ordered by log-probability; ended ones, which have different lengths, by
#   log-probability / length ** length_penalty.
# - A candidate that reaches the token limit counts as one that ends.
# - A slot ends when its best running beam, rated at its present length, is no better than the worst of its width ended
#   ones, or at the token limit.
# - All slots take the same operations; masks keep the ended ones as they are, so the host decides nothing.

# Added to a score, this puts it behind every possible one; the value is the one that ``generate`` uses.
IMPOSSIBLE = -1.0e9


class BeamSlots(Slots):
    """Slots whose items each follow ``width`` sequences; scores are normalised by length."""

    def __init__(self, model: T5Model, *, capacity: int, width: int) -> None:
        super().__init__(model, capacity=capacity, width=width)
        shape, device = (capacity, width), model.device
        self._penalty = torch.zeros((capacity, 1), dtype=torch.float64, device=device)
        self._running = torch.zeros((*shape, model.target_capacity), dtype=torch.int64, device=device)
        self._running_scores = torch.zeros(shape, dtype=torch.float32, device=device)
        self._ended = torch.zeros_like(self._running)
        self._ended_lengths = torch.zeros(shape, dtype=torch.int64, device=device)
        self._ended_scores = torch.full(shape, IMPOSSIBLE, dtype=torch.float32, device=device)

    def step(self, count: int, length: int, *, scored: bool) -> None:
        """See ``Slots.step``; beams are ranked by their scores, so these are always there."""
        width = self.width
        best, tokens, parents = self._candidates(self._logits(count, length), count)
        positions, live = self.positions[:count], self.live[:count, None]
        lengths = positions[:, None] + 1
        sequences = _of_beams(self._running[:count], parents)
        sequences.scatter_(2, positions[:, None, None].expand(count, 2 * width, 1), tokens[:, :, None])
        stops = (tokens == EOS_ID) | (lengths >= self.limits[:count, None])
        divisor = (lengths.double() ** self._penalty[:count]).float()

        rated = best / divisor + ~(stops & live) * IMPOSSIBLE
        # A candidate behind the best ``width`` only keeps the beam full.
        rated[:, width:] = 2 * IMPOSSIBLE
        merged = torch.cat((self._ended_scores[:count], rated), dim=1)
        ended_scores, kept = merged.topk(width)
        ended_lengths = torch.cat((self._ended_lengths[:count], lengths.expand(count, 2 * width)), dim=1)
        self._ended_scores[:count] = ended_scores
        self._ended_lengths[:count] = ended_lengths.gather(1, kept)
        self._ended[:count] = _of_beams(torch.cat((self._ended[:count], sequences), dim=1), kept)

        running_scores, order = (best + stops * IMPOSSIBLE).topk(width)
        self._running_scores[:count] = running_scores
        self._running[:count] = _of_beams(sequences, order)
        self.tokens[:count] = tokens.gather(1, order)
        self._reorder(parents.gather(1, order), count, length)

        positions += live[:, 0]
        improvable = running_scores[:, :1] / divisor > ended_scores[:, -1:]
        live &= improvable & (lengths < self.limits[:count, None])

    def _candidates(self, logits: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the best 2 * width continuations of each slot: scores, tokens and the beams they continue.

        They are among the best 2 * width of each beam, which are found without sorting width * vocabulary scores.
        """
        number = 2 * self.width
        scores, tokens = logits.topk(number)
        scores = (scores - logits.logsumexp(dim=-1, keepdim=True)).view(count, self.width, number)
        scores = scores + self._running_scores[:count, :, None]
        best, chosen = scores.flatten(1).topk(number)
        return best, tokens.view(count, -1).gather(1, chosen), chosen // number

    def _reorder(self, parents: Tensor, count: int, length: int) -> None:
        """Give each beam the cached keys and values of the one it continues."""
        rows = torch.arange(0, count * self.width, self.width, device=self.model.device)
        cache = self.cache[:, :, :count].flatten(2, 3)[:, :, :, :, :length]
        cache.copy_(cache.index_select(2, (rows[:, None] + parents).flatten()))

    def report(self, count: int, length: int) -> SlotReport:
        """See ``Slots.report``."""
        return SlotReport(
            live=self.live[:count],
            sequences=self._ended[:count, :, :length],
            lengths=self._ended_lengths[:count],
            scores=self._ended_scores[:count],
        )

    def _begin(self, index: Tensor, penalties: Sequence[float]) -> None:
        self._penalty[index] = self.model.send(torch.tensor(list(penalties), dtype=torch.float64))[:, None]
        # All beams start alike: only the first may continue, or they would stay alike.
        self._running_scores[index] = IMPOSSIBLE
        self._running_scores[index, 0] = 0.0
        self._ended_scores[index] = IMPOSSIBLE

    def _search_tensors(self) -> tuple[Tensor, ...]:
        running = (self._penalty, self._running, self._running_scores)
        return (*running, self._ended, self._ended_lengths, self._ended_scores)


def _of_beams(sequences: Tensor, beams: Tensor) -> Tensor:
    """Return sequences (slots, beams, places) in the order of ``beams`` (slots, n)."""
    return sequences.gather(1, beams[:, :, None].expand(-1, -1, sequences.shape[2]))
