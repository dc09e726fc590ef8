"""The memory of the items that are decoded together: static tensors, one slot an item, that a search steps through."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dragoman.engines.t5.model import Encoded, T5Model
from dragoman.text.tokenizer import PAD_ID

# A slot is a row of every tensor below, ``width`` rows in those that hold one sequence a beam:
#
#   slot      0      1      2      3   |   4      5 ... capacity
#           live   live   ended  live  | never opened
#           '----- first count -----'  |
#
# - A step reads and writes the first ``count`` slots in place. Every tensor is made once and its address never changes,
#   which lets a CUDA graph replay the step.
# - A slot that has ended keeps its place in the step and changes nothing that is still to be read.
# - The lane alone decides which item is in which slot; the tensors know no items. Nothing is cleared when an item
#   leaves: ``admit`` overwrites what the next item reads, and masks hide the rest.


@dataclass(frozen=True, kw_only=True)
class SlotReport:
    """The results so far of a search in its first slots, on the host once the copy has arrived.

    ``live`` (slots) says which go on; ``sequences`` (slots, width, length) hold ``lengths`` (slots, width) tokens, ends
    included, the best first, with ``scores`` (slots, width): sums of log-probabilities, or what the search ranks by.
    """

    live: Tensor
    sequences: Tensor
    lengths: Tensor
    scores: Tensor

    def to_host(self) -> "SlotReport":
        """Start copying to the host; on CUDA that ends later, in the order of the stream, in pinned memory."""
        live, sequences, lengths, scores = (
            part.to("cpu", non_blocking=True, copy=True)
            for part in (self.live, self.sequences, self.lengths, self.scores)
        )
        return SlotReport(live=live, sequences=sequences, lengths=lengths, scores=scores)


class Slots(ABC):
    """Slots of one beam width, each with ``width`` rows in the decoder: caches, tokens, positions, limits."""

    def __init__(self, model: T5Model, *, capacity: int, width: int) -> None:
        """Reserve the memory; raises RuntimeError (torch's own) when there is not enough."""
        self.model, self.capacity, self.width = model, capacity, width
        sizes, device = model.weights.sizes, model.device
        layers, heads = sizes.num_decoder_layers, sizes.num_heads
        # Left as it comes until a slot is first used (see open): a CPU spends no memory on slots it never needs.
        self.cache = torch.empty(
            (layers, 2, capacity, width, heads, model.target_capacity, sizes.d_kv), dtype=model.dtype, device=device
        )
        self.source = torch.empty(
            (layers, 2, capacity, heads, model.source_capacity, sizes.d_kv), dtype=model.dtype, device=device
        )
        self.source_mask = torch.zeros((capacity, 1, 1, model.source_capacity), dtype=model.dtype, device=device)
        self.tokens = torch.zeros((capacity, width), dtype=torch.int64, device=device)
        self.positions = torch.zeros(capacity, dtype=torch.int64, device=device)
        self.limits = torch.ones(capacity, dtype=torch.int64, device=device)
        self.live = torch.zeros(capacity, dtype=torch.bool, device=device)
        self._opened = 0

    @staticmethod
    def bytes_of_slot(model: T5Model, width: int) -> int:
        """Return the memory that the caches of one slot take."""
        sizes, places = model.weights.sizes, width * model.target_capacity + model.source_capacity
        return sizes.num_decoder_layers * 2 * sizes.d_inner * places * model.dtype.itemsize

    def open(self, count: int) -> None:
        """Make the first ``count`` slots safe to step through, whoever was in them."""
        if count > self._opened:
            fresh = slice(self._opened, count)
            # Masked values count for nothing, unless they are NaN, as fresh memory may be.
            self.cache[:, :, fresh].zero_()
            self.source[:, :, fresh].zero_()
            self._opened = count

    def admit(
        self,
        slots: Sequence[int],
        encoded: Encoded,
        rows: Sequence[int],
        limits: Sequence[int],
        penalties: Sequence[float],
    ) -> None:
        """Begin new items in ``slots``: ``rows`` of an encoded batch, with their token limits and length penalties."""
        index, chosen, most = self.model.send(torch.tensor([list(slots), list(rows), list(limits)]))
        width = encoded.keys_values.shape[4]
        self.source[:, :, index, :, :width] = encoded.keys_values.index_select(2, chosen)
        places = torch.arange(self.model.source_capacity, device=self.model.device)
        hidden = places[None, :] >= encoded.lengths.index_select(0, chosen)[:, None]
        mask = torch.zeros(hidden.shape, dtype=self.model.dtype, device=self.model.device)
        self.source_mask[index] = mask.masked_fill_(hidden, float("-inf"))[:, None, None, :]
        # T5's decoder starts from the padding token.
        self.tokens[index] = PAD_ID
        self.positions[index] = 0
        self.limits[index] = most
        self.live[index] = True
        self._begin(index, penalties)

    def move(self, origins: Sequence[int], targets: Sequence[int]) -> None:
        """Move items to slots that are free; no slot may be in both lists."""
        origin, target = self.model.send(torch.tensor([list(origins), list(targets)]))
        for tensor in (self.source_mask, self.tokens, self.positions, self.limits, self.live, *self._search_tensors()):
            tensor[target] = tensor[origin]
        for cache in (self.cache, self.source):
            cache[:, :, target] = cache[:, :, origin]
        # What is left behind ends, so that it does not go on as a second copy.
        self.live[origin] = False

    def _logits(self, count: int, length: int) -> Tensor:
        """Compute one step of the decoder for the first ``count`` slots: (count * width, vocabulary)."""
        rows = self.positions[:count, None].expand(count, self.width).reshape(-1)
        cache = self.cache[:, :, :count].flatten(2, 3)
        source, mask = self.source[:, :, :count], self.source_mask[:count]
        return self.model.decode_step(self.tokens[:count].flatten(), rows, cache, source, mask, length)

    @abstractmethod
    def step(self, count: int, length: int, *, scored: bool) -> None:
        """Choose one more token for each of the first ``count`` slots, attending to ``length`` places.

        ``scored`` is true where scores of any of them are wanted. No value is read back from the device.
        """

    @abstractmethod
    def report(self, count: int, length: int) -> SlotReport:
        """Return the state of the first ``count`` slots, none of them longer than ``length``."""

    @abstractmethod
    def _begin(self, index: Tensor, penalties: Sequence[float]) -> None:
        """Set the search's own tensors for new items in the slots ``index``."""

    @abstractmethod
    def _search_tensors(self) -> tuple[Tensor, ...]:
        """Return the search's own tensors, whose first dimension is the slot."""
