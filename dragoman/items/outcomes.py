"""Outcomes of an item: a result, or the reason why there is none."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dragoman.errors import DragomanError


@dataclass(frozen=True)
class Result:
    """The model's output for one item."""

    value: Any


@dataclass(frozen=True)
class Failure:
    """The error of one item without a result; its neighbours are not affected."""

    error: DragomanError


OnOutcome = Callable[[Any, Result | Failure], None]
