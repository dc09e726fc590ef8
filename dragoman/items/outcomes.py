"""What becomes of an item: a result, or the reason why there is none."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dragoman.errors import DragomanError


@dataclass(frozen=True)
class Result:
    """What the model made of one item."""

    value: Any


@dataclass(frozen=True)
class Failure:
    """Why one item has no result; its neighbours are not touched."""

    error: DragomanError


OnOutcome = Callable[[Any, Result | Failure], None]
