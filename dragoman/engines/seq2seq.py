"""What the engines of sequence-to-sequence models have in common: sources of ids in, hypotheses out."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from dragoman.sizes import Capacity
from dragoman.strict import Setting

MAX_LENGTH_PENALTY = 5.0


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How a hypothesis is searched for: the defaults of a model, which a request may change within its limits."""

    num_beams: Annotated[int, Setting("beam width; 1 is greedy", minimum=1)] = 1
    max_new_tokens: Annotated[int, Setting("where a translation is cut, in tokens", minimum=1)] = 128
    length_penalty: Annotated[
        float, Setting("exponent of the length that divides a score", minimum=0, maximum=MAX_LENGTH_PENALTY)
    ] = 1.0


@dataclass(frozen=True)
class Hypothesis:
    """One translation in ids, without the end of sequence.

    ``score`` is the length-normalised log-probability, None unless asked for; ``finished`` says whether the model ended
    the sequence itself (it was cut at the token limit otherwise).
    """

    ids: tuple[int, ...]
    score: float | None
    finished: bool

    @property
    def num_tokens(self) -> int:
        """The n of the score, log-probability / n ** length_penalty: the end of sequence counts too where it came."""
        return len(self.ids) + self.finished


OnAnswer = Callable[[int, list[Hypothesis]], None]


class Engine(Protocol):
    """A model that is loaded and ready."""

    name: str
    device: str
    capacity: Capacity
    """How many batches the engine computes at once, and of what size; more callers than that wait inside it."""

    def batch_class(self, length: int) -> Hashable:
        """Sources of so many tokens share batches with those of an equal class only.

        Among others they would not get, to the last bit, the answers that they get alone.
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
        """The best hypotheses of each source (ids with the end of sequence), best first; safe to call from threads.

        The sources are of one ``batch_class``. ``on_answer`` gets the place and the hypotheses of a source as soon as
        they are known, in any thread, where the engine knows some before the others.
        """
        ...

    def close(self) -> None:
        """Free the model."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Say what is loaded, and where it runs."""
        ...
