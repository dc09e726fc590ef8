"""The inputs that are sent to servers, by how much work each is."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Workloads:
    """A test set with its references, and inputs of which only the speed is measured.

    ``other`` are of another kind than the test set, ``short`` ones cost less
    than those, and ``long`` ones ``long_cost`` where an item of the test set costs ``cost``, in any unit.
    """

    items: tuple[str, ...]
    references: tuple[Any, ...]
    other: tuple[str, ...]
    short: tuple[str, ...]
    long: tuple[str, ...]
    cost: float
    long_cost: float
