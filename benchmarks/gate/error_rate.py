"""How often the gate promotes what it should not: counted on real outputs, where the truth is known by construction.

python -m benchmarks.gate.error_rate --candidate BUNDLE --champion BUNDLE --held-out runs/<id>/held_out/test.parquet
"""

import argparse
import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy
from rich.console import Console
from rich.table import Table

import dragoman
from dragoman.bundle.store import open_bundle
from dragoman.errors import DataError, run_cli
from dragoman.items.outcomes import Result
from model_registry.gate.settings import load_settings, task_settings
from scoring.base import Counts, Metric
from scoring.bootstrap import Mode, compare, decide
from scoring.held_out import HeldOutError, read_held_out
from scoring.table import metric

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
    items: int
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

    metric: Metric
    margin: float
    alpha: float
    resamples: int
    trials: int


def swapped_nulls(candidate: Counts, champion: Counts, gate: Gate, items: int) -> ErrorRate:
    """Superiority where neither is better: each item's two outputs are given to either system by a coin's toss."""

    def draw(generator: numpy.random.Generator) -> tuple[Counts, Counts]:
        rows = generator.integers(0, len(candidate), size=items)
        heads = (generator.random(items) < 0.5)[:, None]
        ours, theirs = candidate[rows], champion[rows]
        return numpy.where(heads, ours, theirs), numpy.where(heads, theirs, ours)

    return _count("equal systems", "superiority", gate.margin, 0.0, draw, gate, items, null=True)


def at_the_boundary(candidate: Counts, champion: Counts, gate: Gate, items: int) -> ErrorRate:
    """Non-inferiority exactly at its limit: the items are the population, and the margin its true loss.

    The worse of the two systems is the candidate, so that there is a loss.
    """
    worse, better = _by_score(candidate, champion, gate.metric)
    difference = -_gain(gate.metric, worse, better)
    return _count(
        "at the limit",
        "non_inferiority",
        -difference,
        difference,
        _sample(worse, better, items),
        gate,
        items,
        null=True,
    )


def power(candidate: Counts, champion: Counts, gate: Gate, items: int) -> list[ErrorRate]:
    """How often the better system is found superior, and the worse one not inferior, at some margins."""
    worse, better = _by_score(candidate, champion, gate.metric)
    gain = _gain(gate.metric, worse, better)
    found = [_count("better", "superiority", gate.margin, gain, _sample(better, worse, items), gate, items)]
    for share in POWER_AT:
        margin = max(0.001, gain + share * gate.margin)
        case = f"{share:g} margins inside the limit"
        draw = _sample(worse, better, items)
        found.append(_count(case, "non_inferiority", margin, -gain, draw, gate, items))
    return found


def _count(
    case: str,
    mode: Mode,
    margin: float,
    difference: float,
    draw: Draw,
    gate: Gate,
    items: int,
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
        items=items,
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


def _by_score(first: Counts, second: Counts, metric: Metric) -> tuple[Counts, Counts]:
    """The worse one first."""
    return (first, second) if _gain(metric, first, second) >= 0 else (second, first)


def _gain(metric: Metric, first: Counts, second: Counts) -> float:
    """How much better the second is, whichever direction of the metric that is."""
    gain = metric.score(second.sum(axis=0)) - metric.score(first.sum(axis=0))
    return gain if metric.higher_is_better else -gain


def _sample(ours: Counts, theirs: Counts, items: int) -> Draw:
    def draw(generator: numpy.random.Generator) -> tuple[Counts, Counts]:
        rows = generator.integers(0, len(ours), size=items)
        return ours[rows], theirs[rows]

    return draw


def _outputs(bundle: Path, inputs: list[str | bytes]) -> list[Any]:
    predictor = dragoman.load(bundle)
    task = predictor.task
    try:
        outcomes = predictor(inputs)
        return [task.output(found.value) if isinstance(found, Result) else task.no_output for found in outcomes]
    finally:
        predictor.close()


def _settings(gate: Gate) -> dict[str, Any]:
    return {**{field.name: getattr(gate, field.name) for field in fields(gate)}, "metric": gate.metric.name}


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
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate.error_rate", description=__doc__)
    parser.add_argument("--candidate", required=True, type=Path, help="a bundle directory")
    parser.add_argument("--champion", required=True, type=Path, help="another bundle directory")
    parser.add_argument("--held-out", required=True, type=Path, help="a held-out set, runs/<id>/held_out/test.parquet")
    parser.add_argument("--gate", type=Path, help="its settings (default: those of configs/task/<task>.yaml)")
    parser.add_argument("--trials", type=int, default=200, help="comparisons for each case (default: %(default)s)")
    parser.add_argument("--resamples", type=int, help="of each comparison (default: as the gate's settings say)")
    parser.add_argument("--items", type=int, help="drawn for each comparison (default: as many as the set holds)")
    options = parser.parse_args()
    try:
        held_out = read_held_out(options.held_out)
    except HeldOutError as error:
        raise DataError(str(error)) from error
    settings = (
        load_settings(options.gate) if options.gate else task_settings(open_bundle(options.champion).manifest.task)
    )
    inputs, references = [item.input for item in held_out], [item.reference for item in held_out]
    scored = metric(settings.metric)
    first, second = (
        scored.counts(_outputs(bundle, inputs), references) for bundle in (options.candidate, options.champion)
    )
    gate = Gate(
        metric=scored,
        margin=settings.margin,
        alpha=settings.alpha,
        resamples=options.resamples or settings.resamples,
        trials=options.trials,
    )
    items = options.items or len(held_out)
    nulls = [measure(first, second, gate, items) for measure in (swapped_nulls, at_the_boundary)]
    rates = [*nulls, *power(first, second, gate, items)]
    Console(file=sys.stderr, width=TABLE_WIDTH).print(_table(rates))
    print(
        json.dumps(
            {"gate": _settings(gate), "rates": [{**asdict(rate), "rate": rate.rate} for rate in rates]}, indent=2
        )
    )
    return 1 if any(rate.most is not None and rate.promoted > rate.most for rate in nulls) else 0


if __name__ == "__main__":
    run_cli(main)
