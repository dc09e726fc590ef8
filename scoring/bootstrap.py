"""Confidence intervals of a score and of the difference of two systems, by bootstrap resampling over items.

A set of n items is resampled by drawing n of them with replacement, and scored anew from the sum of their counts.
Two systems are resampled together (paired bootstrap, Koehn 2004), so that the difficulty of an item cancels out.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy

from scoring.base import Counts, Metric

Mode = Literal["non_inferiority", "superiority"]
Outcome = Literal["promoted", "rejected", "undecided"]

# The resamples and the seed of one score's interval, as papers report them and the libraries behind the metrics do.
RESAMPLES, SEED = 1000, 12345
# Rows of resampled counts held at once, which bounds the memory for sets of any size.
ROWS_AT_ONCE = 250


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One system's score with its 95 % interval, and the signature of both."""

    value: float
    low: float
    high: float
    items: int
    signature: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Candidate against champion on the same items; ``low`` and ``high`` each err with probability alpha.

    Differences are positive where the candidate is better, whichever direction of the metric that is.
    """

    items: int
    candidate: float
    champion: float
    difference: float
    low: float
    high: float
    resampled: tuple[float, ...]

    @property
    def width(self) -> float:
        """The distance between the two limits, in the metric's unit."""
        return self.high - self.low


def estimate(metric: Metric, outputs: Sequence[Any], references: Sequence[Any]) -> Estimate:
    """Score one system with its interval."""
    counts = metric.counts(outputs, references)
    low, high = interval(metric, counts)
    return Estimate(
        value=metric.score(counts.sum(axis=0)),
        low=low,
        high=high,
        items=len(counts),
        signature=metric.interval_signature(RESAMPLES, SEED),
    )


def interval(metric: Metric, counts: Counts, *, resamples: int = RESAMPLES, seed: int = SEED) -> tuple[float, float]:
    """Return the 95 % interval of one score: a fortieth of the resamples lies below it, and a fortieth above.

    The resamples are those that the libraries behind the metrics draw for the same seed.
    """
    generator, items = numpy.random.default_rng(seed), len(counts)
    scores: list[float] = []
    for rows in _chunks(resamples):
        drawn = generator.integers(0, items, size=(rows, items))
        times = numpy.stack([numpy.bincount(row, minlength=items) for row in drawn])
        scores += [metric.score(sums) for sums in times @ counts]
    scores.sort()
    outside = resamples // 40
    return scores[outside], scores[resamples - outside - 1]


def confidence_limits(
    metric: Metric, counts: Counts, *, alpha: float, resamples: int, seed: int
) -> tuple[float, float]:
    """Return the limits of one score, each of which errs with probability alpha, by the basic bootstrap.

    The quantiles of the resamples are mirrored at the score. That takes out what resampling adds to a score such as the
    calibration error, whose noise is never below zero.
    """
    generator, items = numpy.random.default_rng(seed), len(counts)
    scores: list[float] = []
    for rows in _chunks(resamples):
        times = generator.multinomial(items, numpy.full(items, 1 / items), size=rows).astype(numpy.float64)
        scores += [metric.score(sums) for sums in times @ counts]
    low, high = numpy.quantile(scores, [alpha, 1 - alpha])
    value = metric.score(counts.sum(axis=0))
    return float(2 * value - high), float(2 * value - low)


def compare(
    metric: Metric, candidate: Counts, champion: Counts, *, alpha: float, resamples: int, seed: int
) -> Comparison:
    """Resample both systems' items alike; the limits are the quantiles alpha and 1 - alpha of the differences."""
    sign = 1.0 if metric.higher_is_better else -1.0
    generator, items = numpy.random.default_rng(seed), len(candidate)
    differences: list[float] = []
    for rows in _chunks(resamples):
        times = generator.multinomial(items, numpy.full(items, 1 / items), size=rows).astype(numpy.float64)
        for ours, theirs in zip(times @ candidate, times @ champion, strict=True):
            differences.append(sign * (metric.score(ours) - metric.score(theirs)))
    low, high = numpy.quantile(differences, [alpha, 1 - alpha])
    scores = metric.score(candidate.sum(axis=0)), metric.score(champion.sum(axis=0))
    return Comparison(
        items=items,
        candidate=scores[0],
        champion=scores[1],
        difference=sign * (scores[0] - scores[1]),
        low=float(low),
        high=float(high),
        resampled=tuple(differences),
    )


def decide(comparison: Comparison, *, mode: Mode, margin: float) -> Outcome:
    """Promote a candidate that is better (superiority) or not worse by the margin (non-inferiority), at error alpha.

    Reject one that is surely not better by the margin, or surely worse. Only an interval at least as wide as the margin
    leaves it undecided::

        mode               promoted when low is above    rejected when high is below
        non_inferiority    -margin                       0
        superiority        0                             margin
    """
    promoted_above, rejected_below = (0.0, margin) if mode == "superiority" else (-margin, 0.0)
    if comparison.low > promoted_above:
        return "promoted"
    return "rejected" if comparison.high < rejected_below else "undecided"


def items_missing(comparison: Comparison, *, margin: float) -> int:
    """Estimate how many more items make the interval as narrow as the margin: width goes with 1 / sqrt(items)."""
    return max(1, math.ceil(comparison.items * ((comparison.width / margin) ** 2 - 1)))


def _chunks(resamples: int) -> Iterator[int]:
    """Yield the number of resamples to draw next."""
    for start in range(0, resamples, ROWS_AT_ONCE):
        yield min(ROWS_AT_ONCE, resamples - start)
