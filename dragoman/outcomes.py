"""The outcome of one item: what an engine made of it, or why it has none."""

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
"""Is told an item and its outcome as soon as that is known, in any thread."""
