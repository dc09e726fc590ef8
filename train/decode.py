"""Translates a list of texts with the engine that ships, for scoring."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dragoman.predictor import Failure, Predictor

TEXTS_AT_ONCE = 512


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """One hypothesis a text, empty where the predictor refused it; ``failures`` says why, by line number from 1."""

    hypotheses: Sequence[str]
    failures: dict[int, str]


def decode(predictor: Predictor, texts: Sequence[str], *, show: Callable[[int], None] = lambda done: None) -> Decoded:
    """Translate every text; ``show`` is told how many are done."""
    hypotheses: list[str] = []
    failures: dict[int, str] = {}
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        for outcome in predictor(texts[start : start + TEXTS_AT_ONCE]):
            if isinstance(outcome, Failure):
                failures[len(hypotheses) + 1] = str(outcome.error)
                hypotheses.append("")
            else:
                hypotheses.append(outcome.value.text)
        show(len(hypotheses))
    return Decoded(hypotheses=hypotheses, failures=failures)
