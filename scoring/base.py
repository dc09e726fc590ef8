"""The interface of a metric: counts per item, whose sum is all that a score needs. The figures that guards give."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy
from numpy.typing import NDArray

# One row an item; the columns are the metric's own.
Counts = NDArray[numpy.float64]


@dataclass(frozen=True)
class Missing:
    """The reason why there is no figure, such as too few items for it to mean anything."""

    reason: str


class Share(float):
    """A share of items in points that remembers the items, so that those of two systems can be compared in pairs."""

    hits: tuple[bool, ...]

    def __new__(cls, hits: Sequence[bool]) -> Self:
        """Compute the share of the items, at least one, that are hits."""
        share = super().__new__(cls, 100 * sum(hits) / len(hits))
        share.hits = tuple(map(bool, hits))
        return share


# A guard maps the inputs, the values (None where an item was refused) and the references of all items to one figure,
# or to several, each under the name of its subject.
Guard = Callable[[Sequence[Any], Sequence[Any], Sequence[Any]], float | Mapping[str, float | Missing]]


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """A significance test of two systems on the same items, by the items on which only one of them is right.

    ``p`` is the probability, if neither is better, of counts that differ as much in either direction.
    """

    name: str
    better: int
    worse: int
    p: float


class Metric(Protocol):
    """A measure of a whole set of outputs; subclass it to inherit the defaults given here.

    A score of resampled items needs only the sum of their counts, so that a bootstrap never looks at an output twice.
    """

    name: str
    unit: str = "points"
    higher_is_better: bool = True
    digits: int = 2
    """The decimal places that a score is worth writing with."""

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

    def paired_test(self, candidate: Counts, champion: Counts) -> PairedTest | None:
        """Test two systems in a second way, beside the bootstrap; None for a metric that has none."""
        return None

    def figure(self, value: float, *, signed: bool = False) -> str:
        """Write a score, or with its sign a difference of two, for people."""
        return f"{value:{'+' if signed else ''}.{self.digits}f}" if math.isfinite(value) else "no value"


def score_of(metric: Metric, outputs: Sequence[Any], references: Sequence[Any]) -> float:
    """Score all outputs at once, without an interval."""
    return metric.score(metric.counts(outputs, references).sum(axis=0))


def exact_test(name: str, candidate: Sequence[bool], champion: Sequence[bool]) -> PairedTest:
    """Compute the sign test: the binomial distribution of the items that are hits of one system alone."""
    rows = list(zip(candidate, champion, strict=True))
    better, worse = rows.count((True, False)), rows.count((False, True))
    tosses, tail, ways = better + worse, 0, 1
    # Whole numbers of any size, so that nothing is rounded before the division.
    for count in range(min(better, worse) + 1):
        tail += ways
        ways = ways * (tosses - count) // (count + 1)
    p = min(1.0, float(2 * tail / 2**tosses))
    return PairedTest(name=name, better=better, worse=worse, p=p)
