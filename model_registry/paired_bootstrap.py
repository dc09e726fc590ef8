"""How sure a difference between two systems is: paired bootstrap resampling over segments (Koehn 2004).

The corpus scores of resampled test sets are computed from sacreBLEU's own counts by its own formula, as its paired
test does. Both systems are resampled together, so that what makes a segment hard for both cancels out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy
from numpy.typing import NDArray
from sacrebleu.metrics import BLEU, CHRF

Mode = Literal["non_inferiority", "superiority"]
Outcome = Literal["promoted", "rejected", "undecided"]
Counts = NDArray[numpy.float64]

METRICS: dict[str, type[BLEU] | type[CHRF]] = {"chrF": CHRF, "BLEU": BLEU}
# Rows of resampled counts held at once: bounds the memory for test sets of any size.
ROWS_AT_ONCE = 250


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Candidate against champion on the same segments; ``low`` and ``high`` each err with probability alpha."""

    segments: int
    candidate: float
    champion: float
    low: float
    high: float
    resampled: tuple[float, ...]

    @property
    def difference(self) -> float:
        """Candidate minus champion, in points."""
        return self.candidate - self.champion

    @property
    def width(self) -> float:
        """How far apart the two limits are, in points."""
        return self.high - self.low


def segment_counts(metric: str, hypotheses: Sequence[str], references: Sequence[str]) -> Counts:
    """sacreBLEU's sufficient statistics, one row a segment: the sum of rows is all that a corpus score needs."""
    rows = _scorer(metric)._extract_corpus_statistics(list(hypotheses), [list(references)])
    return numpy.asarray(rows, dtype=numpy.float64)


def corpus_score(metric: str, counts: Counts) -> float:
    """The corpus score of segments, given their counts."""
    return _score(_scorer(metric), counts.sum(axis=0))


def signature(metric: str, hypotheses: Sequence[str], references: Sequence[str]) -> str:
    """sacreBLEU's description of how a score was computed."""
    scorer = _scorer(metric)
    scorer.corpus_score(list(hypotheses), [list(references)])
    return str(scorer.get_signature())


def compare(metric: str, candidate: Counts, champion: Counts, *, alpha: float, resamples: int, seed: int) -> Comparison:
    """Resample both systems' segments alike; the limits are the percentiles alpha and 1 - alpha of the differences."""
    scorer, generator = _scorer(metric), numpy.random.default_rng(seed)
    segments = len(candidate)
    differences: list[float] = []
    while len(differences) < resamples:
        rows = min(ROWS_AT_ONCE, resamples - len(differences))
        times = generator.multinomial(segments, numpy.full(segments, 1 / segments), size=rows).astype(numpy.float64)
        for ours, theirs in zip(times @ candidate, times @ champion, strict=True):
            differences.append(_score(scorer, ours) - _score(scorer, theirs))
    low, high = numpy.quantile(differences, [alpha, 1 - alpha])
    return Comparison(
        segments=segments,
        candidate=corpus_score(metric, candidate),
        champion=corpus_score(metric, champion),
        low=float(low),
        high=float(high),
        resampled=tuple(differences),
    )


def decide(comparison: Comparison, *, mode: Mode, margin: float) -> Outcome:
    """Promote what is better (superiority) or not worse by the margin (non-inferiority), with error alpha at most.

    Reject what is surely not better by the margin, or surely worse. Undecided can only be what has an interval as wide
    as the margin.
    """
    promoted_above, rejected_below = (0.0, margin) if mode == "superiority" else (-margin, 0.0)
    if comparison.low > promoted_above:
        return "promoted"
    return "rejected" if comparison.high < rejected_below else "undecided"


def segments_missing(comparison: Comparison, *, margin: float) -> int:
    """About how many more segments make the interval as narrow as the margin: width goes with 1 / sqrt(segments)."""
    return max(1, math.ceil(comparison.segments * ((comparison.width / margin) ** 2 - 1)))


def _scorer(metric: str) -> Any:
    return METRICS[metric]()


def _score(scorer: Any, totals: Counts) -> float:
    # As Python's floats: sacreBLEU mixes what it is given with its own, and fails on numpy's when nothing matches.
    return float(scorer._compute_score_from_stats(totals.tolist()).score)
