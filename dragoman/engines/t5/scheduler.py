"""The thread that owns the model: it takes the items of all calls and steps the lanes until everything is answered."""

import threading
from collections.abc import Sequence

import torch

from dragoman.engines.seq2seq import Decoding, Hypothesis, OnAnswer
from dragoman.engines.t5.beam import BeamSlots
from dragoman.engines.t5.calls import Call, SlotItem
from dragoman.engines.t5.greedy import GreedySlots
from dragoman.engines.t5.lane import Lane, Pace
from dragoman.engines.t5.model import T5Model
from dragoman.engines.t5.slots import Slots
from dragoman.errors import InferenceError, InvalidInput

# Threads: any number of callers put items into ``_arrived``, under the lock of ``_wake``, and wait for the future of
# their call. One thread of the scheduler's own takes the items out, sorts them into lanes by beam width, and owns the
# lanes and all that happens on the device. Lanes with work take turns, one step each.
#
# Failures: a lane that raises is dropped with the calls in its slots, since nothing is known of its tensors; the items
# that had not come so far go into a fresh lane.

# The slots of a lane may take this share of the memory that is free when it opens; lanes of other widths need some too.
MEMORY_SHARE = 0.25


class SlotScheduler:
    """Decodes the items of any number of calling threads together; each beam width has a lane of slots."""

    def __init__(self, model: T5Model, *, slots: int, pace: Pace) -> None:
        """Start the thread; at most ``slots`` rows of the decoder are computed at once."""
        self._model, self._rows, self._pace = model, slots, pace
        self._lanes: dict[int, Lane] = {}
        self._arrived: list[SlotItem] = []
        self._closing = False
        self._wake = threading.Condition()
        # Daemonic, so that a program which forgets to close its engine still ends.
        self._thread = threading.Thread(target=self._run, name="t5-slots", daemon=True)
        self._thread.start()

    def decode(
        self,
        sources: Sequence[Sequence[int]],
        decoding: Decoding,
        *,
        num_hypotheses: int,
        return_scores: bool,
        on_answer: OnAnswer | None = None,
    ) -> list[list[Hypothesis]]:
        """See ``Seq2SeqEngine.decode``; raises InvalidInput for what the model or its slots cannot hold."""
        if not sources:
            return []
        self._check(sources, decoding, num_hypotheses)
        call = Call(len(sources), on_answer)
        items = [
            SlotItem(
                call=call,
                place=place,
                ids=ids,
                decoding=decoding,
                num_hypotheses=num_hypotheses,
                return_scores=return_scores,
            )
            for place, ids in enumerate(sources)
        ]
        with self._wake:
            if self._closing:
                raise InferenceError("the engine has been closed; load the bundle again")
            self._arrived.extend(items)
            self._wake.notify()
        return call.future.result()

    def close(self) -> None:
        """Answer the calls in flight, then end the thread and free the slots."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _check(self, sources: Sequence[Sequence[int]], decoding: Decoding, num_hypotheses: int) -> None:
        model, vocabulary = self._model, self._model.weights.sizes.vocab_size
        if not 1 <= decoding.max_new_tokens <= model.max_target:
            raise InvalidInput(f"max_new_tokens must be 1 to {model.max_target}, got {decoding.max_new_tokens}")
        if not 1 <= decoding.num_beams <= min(self._rows, vocabulary // 2):
            raise InvalidInput(f"num_beams must be 1 to {min(self._rows, vocabulary // 2)}, got {decoding.num_beams}")
        if not 1 <= num_hypotheses <= decoding.num_beams:
            raise InvalidInput(f"num_hypotheses must be 1 to num_beams ({decoding.num_beams}), got {num_hypotheses}")
        for ids in sources:
            if not 1 <= len(ids) <= model.max_source:
                raise InvalidInput(f"a source must have 1 to {model.max_source} tokens, got {len(ids)}")
            # On CUDA an id without a row in the table would break every later call, not this one alone.
            if min(ids) < 0 or max(ids) >= vocabulary:
                raise InvalidInput(f"source ids must be 0 to {vocabulary - 1}, got {min(ids)} to {max(ids)}")

    def _run(self) -> None:
        # Graphs cannot be recorded on the default stream.
        stream: torch.cuda.Stream | None = None
        if self._model.device.type == "cuda":
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        # Without a stream this context does nothing.
        with torch.inference_mode(), torch.cuda.stream(stream):
            while self._take():
                for width, lane in list(self._lanes.items()):
                    if not lane.busy:
                        continue
                    try:
                        lane.advance()
                    except Exception as error:
                        del self._lanes[width]
                        for item in lane.abandon(error):
                            self._add(item)
        self._lanes.clear()

    def _take(self) -> bool:
        """Sort new items into lanes, waiting for some if there is nothing to do; return False when all is done."""
        with self._wake:
            while not (self._arrived or self._closing or any(lane.busy for lane in self._lanes.values())):
                self._wake.wait()
            arrived, self._arrived = self._arrived, []
            ended = self._closing and not arrived
        for item in arrived:
            self._add(item)
        return not ended or any(lane.busy for lane in self._lanes.values())

    def _add(self, item: SlotItem) -> None:
        width = item.decoding.num_beams
        try:
            if width not in self._lanes:
                self._lanes[width] = Lane(self._model, self._slots(width), self._pace)
        except Exception as error:
            # Too little memory, as a rule.
            item.call.fail(error)
        else:
            self._lanes[width].add([item])

    def _slots(self, width: int) -> Slots:
        """Make the slots of a lane, fewer where memory is short."""
        capacity = max(1, self._rows // width)
        if self._model.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info()
            capacity = max(1, min(capacity, int(free * MEMORY_SHARE) // Slots.bytes_of_slot(self._model, width)))
        if width == 1:
            return GreedySlots(self._model, capacity=capacity)
        return BeamSlots(self._model, capacity=capacity, width=width)
