"""How often the gate promotes what it should not: counted on real outputs, where the truth is known by construction.

python -m benchmarks.gate_error_rate --candidate BUNDLE --champion BUNDLE --source FILE --reference FILE
"""

import argparse
import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy
from dragoman.translate_files import read_lines
from rich.console import Console
from rich.table import Table

import dragoman
from dragoman.errors import DataError, run_cli
from dragoman.predictor import Result
from model_registry.gate_settings import DEFAULT_SETTINGS, load_settings
from model_registry.paired_bootstrap import Counts, Mode, compare, corpus_score, decide, segment_counts

# The chance that a gate whose true rate is alpha is called wrong here.
FALSE_ALARM = 0.01
# True differences, in margins, at which the share of promotions is shown: what the gate is able to see.
POWER_AT = (0.5, 1.0, 2.0)
TABLE_WIDTH = 120

Draw = Callable[[numpy.random.Generator], tuple[Counts, Counts]]


@dataclass(frozen=True, kw_only=True)
class ErrorRate:
    """Promotions among trials; for a null comparison ``most`` is how many a gate with the stated alpha would make."""

    case: str
    mode: Mode
    margin: float
    true_difference: float
    segments: int
    trials: int
    promoted: int
    rejected: int
    low: float
    high: float
    most: int | None

    @property
    def rate(self) -> float:
        """The share of trials that were promoted."""
        return self.promoted / self.trials


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What is simulated: the gate's settings, and how often."""

    metric: str
    margin: float
    alpha: float
    resamples: int
    trials: int


def swapped_nulls(candidate: Counts, champion: Counts, gate: Gate, segments: int) -> ErrorRate:
    """Superiority where neither is better: each segment's two outputs are given to either system by a coin's toss."""

    def draw(generator: numpy.random.Generator) -> tuple[Counts, Counts]:
        rows = generator.integers(0, len(candidate), size=segments)
        heads = (generator.random(segments) < 0.5)[:, None]
        ours, theirs = candidate[rows], champion[rows]
        return numpy.where(heads, ours, theirs), numpy.where(heads, theirs, ours)

    return _count("equal systems", "superiority", gate.margin, 0.0, draw, gate, segments, null=True)


def at_the_boundary(candidate: Counts, champion: Counts, gate: Gate, segments: int) -> ErrorRate:
    """Non-inferiority exactly at its limit: the segments are the population, and the margin its true loss.

    The worse of the two systems is the candidate, so that there is a loss.
    """
    worse, better = _by_score(candidate, champion, gate.metric)
    difference = corpus_score(gate.metric, worse) - corpus_score(gate.metric, better)
    return _count(
        "at the limit",
        "non_inferiority",
        -difference,
        difference,
        _sample(worse, better, segments),
        gate,
        segments,
        null=True,
    )


def power(candidate: Counts, champion: Counts, gate: Gate, segments: int) -> list[ErrorRate]:
    """How often the better system is found superior, and the worse one not inferior, at some margins."""
    worse, better = _by_score(candidate, champion, gate.metric)
    gain = corpus_score(gate.metric, better) - corpus_score(gate.metric, worse)
    found = [_count("better", "superiority", gate.margin, gain, _sample(better, worse, segments), gate, segments)]
    for share in POWER_AT:
        margin = max(0.001, gain + share * gate.margin)
        case = f"{share:g} margins inside the limit"
        draw = _sample(worse, better, segments)
        found.append(_count(case, "non_inferiority", margin, -gain, draw, gate, segments))
    return found


def _count(
    case: str,
    mode: Mode,
    margin: float,
    difference: float,
    draw: Draw,
    gate: Gate,
    segments: int,
    *,
    null: bool = False,
) -> ErrorRate:
    generator = numpy.random.default_rng(0)
    verdicts = []
    for _ in range(gate.trials):
        ours, theirs = draw(generator)
        seed = int(generator.integers(2**31))
        found = compare(gate.metric, ours, theirs, alpha=gate.alpha, resamples=gate.resamples, seed=seed)
        verdicts.append(decide(found, mode=mode, margin=margin))
    promoted = verdicts.count("promoted")
    low, high = _binomial_interval(promoted, gate.trials)
    return ErrorRate(
        case=case,
        mode=mode,
        margin=margin,
        true_difference=difference,
        segments=segments,
        trials=gate.trials,
        promoted=promoted,
        rejected=verdicts.count("rejected"),
        low=low,
        high=high,
        most=_most_promotions(gate.trials, gate.alpha) if null else None,
    )


def _most_promotions(trials: int, alpha: float) -> int:
    """The number of promotions that a gate with this rate exceeds with probability FALSE_ALARM at most."""
    most, below = -1, 0.0
    while below < 1 - FALSE_ALARM:
        most += 1
        below += math.comb(trials, most) * alpha**most * (1 - alpha) ** (trials - most)
    return most


def _binomial_interval(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate."""
    z = 1.96
    rate, widening = successes / trials, z * z / trials
    centre = (rate + widening / 2) / (1 + widening)
    half = z * math.sqrt(rate * (1 - rate) / trials + widening / (4 * trials)) / (1 + widening)
    return max(0.0, centre - half), min(1.0, centre + half)


def _by_score(first: Counts, second: Counts, metric: str) -> tuple[Counts, Counts]:
    return (first, second) if corpus_score(metric, first) <= corpus_score(metric, second) else (second, first)


def _sample(ours: Counts, theirs: Counts, segments: int) -> Draw:
    def draw(generator: numpy.random.Generator) -> tuple[Counts, Counts]:
        rows = generator.integers(0, len(ours), size=segments)
        return ours[rows], theirs[rows]

    return draw


def _translate(bundle: Path, sources: list[str]) -> list[str]:
    predictor = dragoman.load(bundle)
    try:
        return [outcome.value.text if isinstance(outcome, Result) else "" for outcome in predictor(sources)]
    finally:
        predictor.close()


def _table(rates: list[ErrorRate]) -> Table:
    table = Table("case", "mode", "margin", "true difference", "promoted", "95 % interval", "rejected", "accepted")
    for rate in rates:
        accepted = "" if rate.most is None else f"at most {rate.most}"
        promoted = f"{rate.promoted} of {rate.trials}"
        interval = f"{rate.low:.3f} to {rate.high:.3f}"
        cells = (f"{rate.margin:.2f}", f"{rate.true_difference:+.2f}", promoted, interval, str(rate.rejected), accepted)
        table.add_row(rate.case, rate.mode, *cells)
    return table


def main() -> int:
    """Decode both bundles once, simulate, print JSON and (on standard error) a table; 1 when a rate is too high."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate_error_rate", description=__doc__)
    parser.add_argument("--candidate", required=True, type=Path, help="a bundle directory")
    parser.add_argument("--champion", required=True, type=Path, help="another bundle directory")
    parser.add_argument("--source", required=True, help="a UTF-8 file, plain or .gz, one sentence a line")
    parser.add_argument("--reference", required=True, help="their translations, line by line")
    parser.add_argument("--gate", type=Path, default=DEFAULT_SETTINGS, help="its settings (default: configs/gate.yaml)")
    parser.add_argument("--trials", type=int, default=200, help="comparisons for each case (default: %(default)s)")
    parser.add_argument("--resamples", type=int, help="of each comparison (default: as the gate's settings say)")
    parser.add_argument("--segments", type=int, help="drawn for each comparison (default: as many as the files hold)")
    options = parser.parse_args()
    sources, references = list(read_lines(options.source)), list(read_lines(options.reference))
    if len(sources) != len(references) or not sources:
        raise DataError(f"{options.source} has {len(sources)} lines and {options.reference} has {len(references)}")
    settings = load_settings(options.gate)
    first, second = (
        segment_counts(settings.metric, _translate(bundle, sources), references)
        for bundle in (options.candidate, options.champion)
    )
    gate = Gate(
        metric=settings.metric,
        margin=settings.margin,
        alpha=settings.alpha,
        resamples=options.resamples or settings.resamples,
        trials=options.trials,
    )
    segments = options.segments or len(sources)
    nulls = [measure(first, second, gate, segments) for measure in (swapped_nulls, at_the_boundary)]
    rates = [*nulls, *power(first, second, gate, segments)]
    Console(file=sys.stderr, width=TABLE_WIDTH).print(_table(rates))
    print(
        json.dumps({"gate": asdict(gate), "rates": [{**asdict(rate), "rate": rate.rate} for rate in rates]}, indent=2)
    )
    return 1 if any(rate.most is not None and rate.promoted > rate.most for rate in nulls) else 0


if __name__ == "__main__":
    run_cli(main)
