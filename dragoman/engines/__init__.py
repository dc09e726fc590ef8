"""Engines turn batches of source ids into hypotheses; the tasks do not know which one they use."""

import importlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dragoman.bundle import Bundle
from dragoman.errors import ConfigError
from dragoman.manifest import Decoding
from dragoman.tokenizer import Tokenizer

# The order is the order of preference of engine="auto".
ENGINES = {"ctranslate2": "dragoman.engines.ct2:CTranslate2Engine", "torch": "dragoman.engines.torch_t5:TorchEngine"}
DEVICES = ("auto", "cpu", "cuda")


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
    parallel_batches: int
    """How many batches the engine computes at once; more callers than that wait inside it."""

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


def open_engine(bundle: Bundle, tokenizer: Tokenizer, *, engine: str, device: str) -> Engine:
    """Load an engine by name; ``auto`` takes the first one that the bundle and the installed packages allow.

    Raises ConfigError for a name that is unknown, or not possible here.
    """
    if engine not in ("auto", *ENGINES):
        raise ConfigError(f"engine must be auto, {' or '.join(ENGINES)}, got {engine!r}")
    if device not in DEVICES:
        raise ConfigError(f"device must be one of {', '.join(DEVICES)}, got {device!r}")
    candidates = list(ENGINES) if engine == "auto" else [engine]
    reasons = []
    for name in candidates:
        module, _, class_name = ENGINES[name].partition(":")
        try:
            kind = getattr(importlib.import_module(module), class_name)
        except ImportError as error:
            reasons.append(f"{name} is not installed ({error})")
            continue
        if reason := kind.cannot_open(bundle):
            reasons.append(reason)
            continue
        opened: Engine = kind(bundle, tokenizer, device)
        return opened
    raise ConfigError(
        f"no engine can run {bundle.path}: {'; '.join(reasons)}; pip install 'dragoman[cpu]' or '[torch]'"
    )
