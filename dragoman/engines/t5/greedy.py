"""Greedy search: the most probable token, one row a slot."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dragoman.engines.t5.model import T5Model
from dragoman.engines.t5.slots import SlotReport, Slots
from dragoman.text.tokenizer import EOS_ID


class GreedySlots(Slots):
    """Slots whose items each follow one sequence; scores are sums of log-probabilities."""

    def __init__(self, model: T5Model, *, capacity: int) -> None:
        super().__init__(model, capacity=capacity, width=1)
        self._sequences = torch.zeros((capacity, 1, model.target_capacity), dtype=torch.int64, device=model.device)
        self._totals = torch.zeros((capacity, 1), dtype=torch.float32, device=model.device)

    def step(self, count: int, length: int, *, scored: bool) -> None:
        """See ``Slots.step``; the softmax over the vocabulary is left out where no score is wanted."""
        logits = self._logits(count, length)
        positions, live, totals = self.positions[:count], self.live[:count], self._totals[:count]
        chosen = logits.argmax(dim=-1, keepdim=True)
        if scored:
            totals += (logits.gather(1, chosen) - logits.logsumexp(dim=-1, keepdim=True)) * live[:, None]
        self._sequences[:count].scatter_(2, positions[:, None, None], chosen[:, :, None])
        self.tokens[:count] = chosen
        # From here on the state of an ended slot stays: its position no longer grows, so it writes over one place.
        positions += live
        live &= (chosen[:, 0] != EOS_ID) & (positions < self.limits[:count])

    def report(self, count: int, length: int) -> SlotReport:
        """See ``Slots.report``."""
        return SlotReport(
            live=self.live[:count],
            sequences=self._sequences[:count, :, :length],
            lengths=self.positions[:count, None],
            scores=self._totals[:count],
        )

    def _begin(self, index: Tensor, penalties: Sequence[float]) -> None:
        # One sequence is never compared with another, so its penalty is applied once, in ``SlotItem.answer``.
        self._totals[index] = 0.0

    def _search_tensors(self) -> tuple[Tensor, ...]:
        return (self._sequences, self._totals)
