"""Answers to a list of items by the engine that ships, for scoring."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dragoman.errors import InferenceError
from dragoman.items.outcomes import Failure
from dragoman.predictor import Predictor

ITEMS_AT_ONCE = 512


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One output an item, the task's ``no_output`` where it was refused; ``failures`` says why, by number from 1."""

    outputs: Sequence[Any]
    failures: dict[int, str]


def answer(predictor: Predictor, items: Sequence[Any], *, show: Callable[[int], None] = lambda done: None) -> Answered:
    """Answer every item; ``show`` is told how many are done.

    Raises InferenceError when the engine fails: that says nothing of the model.
    """
    outputs: list[Any] = []
    failures: dict[int, str] = {}
    for start in range(0, len(items), ITEMS_AT_ONCE):
        for outcome in predictor(items[start : start + ITEMS_AT_ONCE]):
            if isinstance(outcome, Failure):
                if isinstance(outcome.error, InferenceError):
                    raise outcome.error
                failures[len(outputs) + 1] = str(outcome.error)
                outputs.append(predictor.task.no_output)
            else:
                outputs.append(predictor.task.output(outcome.value))
        show(len(outputs))
    return Answered(outputs=outputs, failures=failures)
