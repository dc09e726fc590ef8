"""Iteration-level batching: items of one beam width take slots as they become free, while the other slots go on."""

import itertools
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from dragoman.engines.t5.calls import SlotItem
from dragoman.engines.t5.graphs import StepGraphs
from dragoman.engines.t5.model import Encoded, T5Model
from dragoman.engines.t5.slots import SlotReport, Slots
from dragoman.items.batches import token_batches
from dragoman.text.tokenizer import PAD_ID

# An item passes through these places, each of which the lane's one thread owns:
#
#   _waiting --cut by length--> _batches --encoder--> _encoded --a slot is free--> _items[slot] --it has ended--> answer
#
# A turn (``advance``) encodes enough for the free slots, fills these, takes one step with all slots in use, and reads
# the reports that are due. Invariants:
# - The tensors of a slot belong to ``_items[slot]`` from ``admit`` until a report says that it has ended.
# - The host learns of an end from reports alone. On CUDA it launches steps ahead of them, so a snapshot keeps the items
#   as they were placed at its step; an item may have moved, or been answered, when its snapshot is read.
# - An item ends after ``limit`` steps at the latest. So the host knows without a report when nothing can be live.
# - The size of a step (slots, places, scores) is one of few, because on CUDA each combination is a recorded graph.


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Scheduling parameters of a device.

    A step computes as many slots as the smallest of ``slot_counts`` that holds those in use, and attends to a power of
    two of places, ``shortest`` at least: on CUDA each pair is a graph. ``reports_in_flight`` steps are launched before
    the report of an earlier one is read, which keeps the device busy and costs an ended item that many steps.
    ``encoder_tokens`` bounds a batch of the encoder, whose width is padded to a multiple of ``encoder_multiple``; while
    slots are in use, fewer items than ``1 / accumulate`` of those wait up to ``patience`` steps for more to arrive.
    """

    slot_counts: tuple[int, ...]
    shortest: int
    reports_in_flight: int
    encoder_tokens: int
    encoder_multiple: int
    accumulate: int
    patience: int


# An encoder batch costs a GPU about as long as three steps however small it is, so a few items wait about as long for
# others to join them; on a CPU it costs what it computes, so nothing waits. Each size of a step is a graph to record on
# a GPU, which therefore has few; a CPU has more, since it pays for the slots that a step computes in vain.
CUDA_PACE = Pace(
    slot_counts=(1, 8, 32, 128, 256, 512),
    shortest=32,
    reports_in_flight=1,
    encoder_tokens=8_192,
    encoder_multiple=16,
    accumulate=8,
    patience=4,
)
CPU_PACE = Pace(
    slot_counts=(1, 2, 4, 8, 12, 16, 24, 32),
    shortest=32,
    reports_in_flight=0,
    encoder_tokens=1_024,
    encoder_multiple=1,
    accumulate=1,
    patience=0,
)
PACES = {"cpu": CPU_PACE, "cuda": CUDA_PACE}


@dataclass(frozen=True, kw_only=True)
class _Snapshot:
    """A report on its way to the host, with the items that were in its slots."""

    report: SlotReport
    items: dict[int, SlotItem]
    arrived: "torch.cuda.Event | None"


class Lane:
    """The slots of one beam width and the items that wait for them; one thread drives it."""

    def __init__(self, model: T5Model, slots: Slots, pace: Pace) -> None:
        self._model, self._slots, self._pace = model, slots, pace
        self._graphs = StepGraphs(model.device)
        self._waiting: list[SlotItem] = []
        self._batches: deque[list[SlotItem]] = deque()
        self._encoded: deque[tuple[SlotItem, Encoded, int]] = deque()
        self._items: dict[int, SlotItem] = {}
        self._snapshots: deque[_Snapshot] = deque()
        self._waited = 0
        self._steps = 0

    @property
    def busy(self) -> bool:
        """Tell whether there is anything to do."""
        return bool(self._waiting or self._batches or self._encoded or self._items)

    def add(self, items: Iterable[SlotItem]) -> None:
        """Append items to those that wait."""
        self._waiting.extend(items)

    def advance(self) -> None:
        """Fill the free slots, take one step, and answer the items whose end has been reported."""
        self._encode_for_free_slots()
        self._admit()
        if any(self._steps < item.began + item.limit for item in self._items.values()):
            self._close_gaps()
            self._step()
            self._collect(self._pace.reports_in_flight)
        else:
            self._collect(0)

    def abandon(self, error: Exception) -> list[SlotItem]:
        """Fail every call with an item that is encoded or in a slot, and return the items that have not come so far."""
        for item in (*self._items.values(), *(item for item, _, _ in self._encoded)):
            item.call.fail(error)
        return [*(item for batch in self._batches for item in batch), *self._waiting]

    def _encode_for_free_slots(self) -> None:
        """Encode batches until there is an encoded item for each free slot, or no batch that should run now."""
        while len(self._encoded) < self._slots.capacity - len(self._items):
            if not self._batches and not self._cut_batches():
                return
            batch = [item for item in self._batches.popleft() if not item.call.failed]
            for part, encoded in self._encode(batch):
                self._encoded.extend((item, encoded, row) for row, item in enumerate(part))

    def _cut_batches(self) -> bool:
        """Sort what waits by length and cut it into batches, unless it pays to wait for more."""
        few = len(self._waiting) * self._pace.accumulate < len(self._items)
        if not self._waiting or (few and self._waited < self._pace.patience):
            self._waited += bool(self._waiting)
            return False
        self._waited = 0
        lengths = [len(item.ids) for item in self._waiting]
        for batch in token_batches(lengths, batch_tokens=self._pace.encoder_tokens):
            self._batches.append([self._waiting[index] for index in batch])
        self._waiting = []
        return True

    def _encode(self, items: Sequence[SlotItem]) -> list[tuple[Sequence[SlotItem], Encoded]]:
        """Encode a batch; if that fails (memory, mostly), encode item by item, so that one fails its own call alone."""
        if not items:
            return []
        try:
            return [(items, self._encode_batch(items))]
        except Exception as error:
            if len(items) > 1:
                return [part for item in items for part in self._encode([item])]
            items[0].call.fail(error)
            return []

    def _encode_batch(self, items: Sequence[SlotItem]) -> Encoded:
        multiple = self._pace.encoder_multiple
        width = -(-max(len(item.ids) for item in items) // multiple) * multiple
        ids = torch.tensor([[*item.ids, *[PAD_ID] * (width - len(item.ids))] for item in items])
        lengths = torch.tensor([len(item.ids) for item in items])
        return self._model.encode(self._model.send(ids), self._model.send(lengths))

    def _admit(self) -> None:
        """Give the free slots, the lowest first, to encoded items, one encoder batch at a time."""
        if not self._encoded:
            return
        free = [slot for slot in range(self._slots.capacity) if slot not in self._items]
        admitted = [(slot, *self._encoded.popleft()) for slot in free[: len(self._encoded)]]
        # All items get their slots before any tensor is written: on an error ``abandon`` has to find every one of them.
        for slot, item, _, _ in admitted:
            self._items[slot] = item
            item.slot, item.began = slot, self._steps
        for _, group in itertools.groupby(admitted, key=lambda each: id(each[2])):
            slots, items, encoded, rows = zip(*group, strict=True)
            self._slots.open(max(slots) + 1)
            limits = [item.limit for item in items]
            self._slots.admit(slots, encoded[0], rows, limits, [float(item.decoding.length_penalty) for item in items])

    def _close_gaps(self) -> None:
        """Move the items of the highest slots down where fewer slots would do, so that the next steps are smaller."""
        count = self._slot_count(len(self._items))
        if count == self._slot_count(max(self._items) + 1):
            return
        origins = sorted(slot for slot in self._items if slot >= count)
        targets = [slot for slot in range(count) if slot not in self._items][: len(origins)]
        self._slots.move(origins, targets)
        for origin, target in zip(origins, targets, strict=True):
            item = self._items[target] = self._items.pop(origin)
            item.slot = target

    def _slot_count(self, slots: int) -> int:
        capacity = self._slots.capacity
        return min(capacity, next((count for count in self._pace.slot_counts if count >= slots), capacity))

    def _step(self) -> None:
        """Compute one step of all slots in use, and start copying its report to the host."""
        items = self._items.values()
        count = self._slot_count(max(self._items) + 1)
        # Attention must see the longest source, and all tokens of the item that has been in its slot longest.
        oldest = self._steps - min(item.began for item in items) + 1
        longest = max(len(item.ids) for item in items), min(oldest, max(item.limit for item in items))
        length = 1 << (max(self._pace.shortest, *longest) - 1).bit_length()
        scored = any(item.return_scores for item in items)
        self._slots.open(count)
        self._graphs.run((count, length, scored), lambda: self._slots.step(count, length, scored=scored))
        self._steps += 1
        report = self._slots.report(count, length).to_host()
        arrived = torch.cuda.current_stream().record_event() if self._model.device.type == "cuda" else None
        self._snapshots.append(_Snapshot(report=report, items=dict(self._items), arrived=arrived))

    def _collect(self, in_flight: int) -> None:
        """Read the reports but for the last ``in_flight``; answer the items that have ended and free their slots."""
        while len(self._snapshots) > in_flight:
            snapshot = self._snapshots.popleft()
            if snapshot.arrived is not None:
                snapshot.arrived.synchronize()
            live = snapshot.report.live.tolist()
            for slot, item in snapshot.items.items():
                # An item may have moved since, or have been answered from an earlier report.
                if not live[slot] and self._items.get(item.slot) is item:
                    item.answer(snapshot.report, slot)
                    del self._items[item.slot]
        if not self._items:
            # Later snapshots can tell nothing new, and would keep their items alive.
            self._snapshots.clear()
