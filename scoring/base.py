"""The interface of a metric: counts per item, whose sum is all that a score needs."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy
from numpy.typing import NDArray

# One row an item; the columns are the metric's own.
Counts = NDArray[numpy.float64]

# A guard maps the inputs, the values (None where an item was refused) and the references of all items to one figure.
Guard = Callable[[Sequence[Any], Sequence[Any], Sequence[Any]], float]


class Metric(Protocol):
    """A measure of a whole set of outputs; subclass it to inherit the defaults given here.

    A score of resampled items needs only the sum of their counts, so that a bootstrap never looks at an output twice.
    """

    name: str
    unit: str = "points"
    higher_is_better: bool = True

    def counts(self, outputs: Sequence[Any], references: Sequence[Any]) -> Counts:
        """Count what the score needs, one row an item."""

    def score(self, sums: Counts) -> float:
        """Compute the score of items, given the sum of their counts."""

    def signature(self) -> str:
        """Describe how scores are computed; only scores of equal signatures can be compared."""
        return self.name

    def interval_signature(self, resamples: int, seed: int) -> str:
        """Describe a score together with its bootstrap interval."""
        return f"{self.signature()}|bs:{resamples}|seed:{seed}"


def score_of(metric: Metric, outputs: Sequence[Any], references: Sequence[Any]) -> float:
    """Score all outputs at once, without an interval."""
    return metric.score(metric.counts(outputs, references).sum(axis=0))
