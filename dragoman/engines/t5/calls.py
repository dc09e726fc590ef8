"""The calls of the decoder, the items of a call, and their hypotheses."""

import logging
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from dragoman.engines.seq2seq import Decoding, Hypothesis, OnAnswer
from dragoman.engines.t5.slots import SlotReport
from dragoman.errors import InferenceError
from dragoman.text.tokenizer import EOS_ID

log = logging.getLogger(__name__)


class Call:
    """The sources that one caller waits for; the future holds a list of hypotheses a source, in order."""

    def __init__(self, count: int, on_answer: OnAnswer | None = None) -> None:
        self.future: Future[list[list[Hypothesis]]] = Future()
        self._answers: list[list[Hypothesis]] = [[] for _ in range(count)]
        self._missing = count
        self._on_answer = on_answer

    @property
    def failed(self) -> bool:
        """Tell whether the call has ended, so that nobody waits for the rest of it."""
        return self.future.done()

    def answer(self, place: int, hypotheses: list[Hypothesis]) -> None:
        """Give one source its hypotheses; the last one completes the call."""
        if self._on_answer:
            try:
                self._on_answer(place, hypotheses)
            except Exception:
                # One caller's fault must not end the decoding for all others; this one gets its answers at the end.
                log.exception("a caller could not take an early answer")
                self._on_answer = None
        self._answers[place] = hypotheses
        self._missing -= 1
        if not self._missing and not self.failed:
            self.future.set_result(self._answers)

    def fail(self, error: Exception) -> None:
        """End the call with an error, unless it has ended."""
        if not self.failed:
            failure = InferenceError(f"PyTorch failed on a batch of {len(self._answers)} texts: {error}")
            failure.__cause__ = error
            self.future.set_exception(failure)


@dataclass(eq=False, kw_only=True)
class SlotItem:
    """One source on its way through the decoder; in a slot it began after ``began`` steps of its lane."""

    call: Call
    place: int
    ids: Sequence[int]
    decoding: Decoding
    num_hypotheses: int
    return_scores: bool
    slot: int = field(default=-1, init=False)
    began: int = field(default=0, init=False)

    @property
    def limit(self) -> int:
        """Return the most tokens of its output, which is the most steps it takes."""
        return self.decoding.max_new_tokens

    def answer(self, report: SlotReport, slot: int) -> None:
        """Answer the call with the hypotheses of ``slot`` in a report that is on the host."""
        hypotheses = []
        lengths, scores = report.lengths[slot].tolist(), report.scores[slot].tolist()
        for rank, sequence in enumerate(report.sequences[slot].tolist()[: self.num_hypotheses]):
            ids, score = sequence[: lengths[rank]], scores[rank]
            if self.decoding.num_beams == 1:
                # Greedy slots report plain sums; beams are ranked by normalised scores already.
                score /= len(ids) ** self.decoding.length_penalty
            finished = ids[-1] == EOS_ID
            tokens = tuple(ids[:-1] if finished else ids)
            hypotheses.append(Hypothesis(tokens, score if self.return_scores else None, finished))
        self.call.answer(self.place, hypotheses)
