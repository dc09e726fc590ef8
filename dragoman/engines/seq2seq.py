"""The interface between tasks that turn sequences into sequences and the engines that do it."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

from dragoman.engines.selection import Engine
from dragoman.strict import Setting

MAX_LENGTH_PENALTY = 5.0


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """Settings of the search for a hypothesis: the defaults of a model, which a request may change within limits."""

    num_beams: Annotated[int, Setting("beam width; 1 is greedy", minimum=1)] = 1
    max_new_tokens: Annotated[int, Setting("where an output is cut, in tokens", minimum=1)] = 128
    length_penalty: Annotated[
        float, Setting("exponent of the length that divides a score", minimum=0, maximum=MAX_LENGTH_PENALTY)
    ] = 1.0


@dataclass(frozen=True)
class Hypothesis:
    """One output in ids, without the end of sequence.

    ``score`` is the length-normalised log-probability, None unless asked for; ``finished`` is false where the token
    limit cut the sequence.
    """

    ids: tuple[int, ...]
    score: float | None
    finished: bool

    @property
    def num_tokens(self) -> int:
        """Return the n of the score, log-probability / n ** length_penalty; an end of sequence that came counts too."""
        return len(self.ids) + self.finished


OnAnswer = Callable[[int, list[Hypothesis]], None]


class Seq2SeqEngine(Engine, Protocol):
    """An engine that decodes sources.

    Its class is constructed with ``tokenizer``, and the upper limits ``max_source_tokens``, ``max_new_tokens`` and
    ``max_beams`` of its requests.
    """

    def batch_class(self, length: int) -> Hashable:
        """Return the class of a source of so many tokens; only sources of equal class may share a batch.

        In a batch with others a source might not get, to the last bit, the answer that it gets alone.
        """
        ...

    def decode(
        self,
        sources: Sequence[Sequence[int]],
        decoding: Decoding,
        *,
        num_hypotheses: int,
        return_scores: bool,
        on_answer: OnAnswer | None = None,
    ) -> list[list[Hypothesis]]:
        """Return the best hypotheses of each source (ids with the end of sequence), best first; threads may share it.

        The sources are of one ``batch_class``. ``on_answer`` gets the place and the hypotheses of a source as soon as
        they are known, in any thread, where the engine knows some before the others.
        """
        ...
