"""The gate's error rates: wrong promotions counted on real outputs, where the truth is known by construction.

python -m benchmarks.gate.error_rate --candidate BUNDLE --champion BUNDLE --held-out runs/<id>/held_out/test.parquet

Both bundles answer the held-out set once; every comparison then draws items of it anew. Two cases are null: a gate
that keeps its word promotes in at most ``alpha`` of their comparisons.

    equal systems   superiority: a coin decides for each item which output is whose, so neither system is better
    at the limit    non-inferiority: the set is the population, and the margin is the worse system's true loss

The others show its power: how often it sees that the better system is better, and the worse one not inferior.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy
from rich.console import Console
from rich.table import Table

from dragoman.bundle.store import open_bundle
from dragoman.errors import DataError, run_cli
from dragoman.predictor import answer_all, load
from model_registry.gate.settings import load_settings, task_settings
from scoring.base import Counts, Metric
from scoring.bootstrap import Mode, compare, decide
from scoring.held_out import HeldOutError, read_held_out
from scoring.table import metric

# The chance that a gate whose true rate is alpha is called wrong here.
FALSE_ALARM = 0.01
# Distances from the limit, in margins, at which the power of non-inferiority is shown.
POWER_AT = (0.5, 1.0, 2.0)
TABLE_WIDTH = 120

Draw = Callable[[numpy.random.Generator], tuple[Counts, Counts]]


@dataclass(frozen=True)
class SimulatedCase:
    """Comparisons whose true difference is known; ``draw`` gives the counts of the candidate and of the champion."""

    name: str
    mode: Mode
    margin: float
    true_difference: float
    draw: Draw
    is_null: bool = False


@dataclass(frozen=True, kw_only=True)
class PromotionRate:
    """Promotions among the trials of a case; ``most`` is the number that a gate with the stated alpha may make."""

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
    rate: float


def cases(candidate: Counts, champion: Counts, scored: Metric, *, margin: float, items: int) -> list[SimulatedCase]:
    """Return the null cases and those that show the gate's power."""
    gain = scored.score(champion.sum(axis=0)) - scored.score(candidate.sum(axis=0))
    if not scored.higher_is_better:
        gain = -gain
    # The loss and the gain below are those of the worse and of the better system, whichever these are.
    worse, better = (candidate, champion) if gain >= 0 else (champion, candidate)
    gain = abs(gain)

    def swapped(generator: numpy.random.Generator) -> tuple[Counts, Counts]:
        rows = generator.integers(0, len(candidate), size=items)
        heads = (generator.random(items) < 0.5)[:, None]
        ours, theirs = candidate[rows], champion[rows]
        return numpy.where(heads, ours, theirs), numpy.where(heads, theirs, ours)

    def sampled(ours: Counts, theirs: Counts) -> Draw:
        def draw(generator: numpy.random.Generator) -> tuple[Counts, Counts]:
            rows = generator.integers(0, len(ours), size=items)
            return ours[rows], theirs[rows]

        return draw

    loses, wins = sampled(worse, better), sampled(better, worse)
    found = [
        SimulatedCase("equal systems", "superiority", margin, 0.0, swapped, is_null=True),
        SimulatedCase("at the limit", "non_inferiority", gain, -gain, loses, is_null=True),
        SimulatedCase("better", "superiority", margin, gain, wins),
    ]
    for share in POWER_AT:
        allowed = max(0.001, gain + share * margin)
        name = f"{share:g} margins inside the limit"
        found.append(SimulatedCase(name, "non_inferiority", allowed, -gain, loses))
    return found


def promotion_rate(
    case: SimulatedCase, scored: Metric, *, alpha: float, resamples: int, trials: int, items: int
) -> PromotionRate:
    """Send the comparisons of a case through the gate's decision and count the verdicts."""
    generator = numpy.random.default_rng(0)
    verdicts = []
    for _ in range(trials):
        ours, theirs = case.draw(generator)
        seed = int(generator.integers(2**31))
        found = compare(scored, ours, theirs, alpha=alpha, resamples=resamples, seed=seed)
        verdicts.append(decide(found, mode=case.mode, margin=case.margin))
    promoted = verdicts.count("promoted")
    low, high = _binomial_interval(promoted, trials)
    return PromotionRate(
        case=case.name,
        mode=case.mode,
        margin=case.margin,
        true_difference=case.true_difference,
        items=items,
        trials=trials,
        promoted=promoted,
        rejected=verdicts.count("rejected"),
        low=low,
        high=high,
        most=_most_promotions(trials, alpha) if case.is_null else None,
        rate=promoted / trials,
    )


def _most_promotions(trials: int, alpha: float) -> int:
    """Return the number of promotions that a gate with this rate exceeds with probability FALSE_ALARM at most."""
    most, below = -1, 0.0
    while below < 1 - FALSE_ALARM:
        most += 1
        below += math.comb(trials, most) * alpha**most * (1 - alpha) ** (trials - most)
    return most


def _binomial_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a rate."""
    z = 1.96
    rate, widening = successes / trials, z * z / trials
    centre = (rate + widening / 2) / (1 + widening)
    half = z * math.sqrt(rate * (1 - rate) / trials + widening / (4 * trials)) / (1 + widening)
    return max(0.0, centre - half), min(1.0, centre + half)


def _outputs(bundle: Path, inputs: list[str | bytes]) -> Sequence[Any]:
    predictor = load(bundle)
    try:
        return answer_all(predictor, inputs).plain
    finally:
        predictor.close()


def _table(rates: list[PromotionRate]) -> Table:
    table = Table("case", "mode", "margin", "true difference", "promoted", "95 % interval", "rejected", "accepted")
    for rate in rates:
        table.add_row(
            rate.case,
            rate.mode,
            f"{rate.margin:.2f}",
            f"{rate.true_difference:+.2f}",
            f"{rate.promoted} of {rate.trials}",
            f"{rate.low:.3f} to {rate.high:.3f}",
            str(rate.rejected),
            "" if rate.most is None else f"at most {rate.most}",
        )
    return table


def main() -> int:
    """Decode both bundles once, simulate, print JSON and (on standard error) a table; 1 when a rate is too high."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gate.error_rate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
    if options.gate:
        settings = load_settings(options.gate)
    else:
        settings = task_settings(open_bundle(options.champion).manifest.task)
    inputs, references = [item.input for item in held_out], [item.reference for item in held_out]
    scored = metric(settings.metric)
    candidate = scored.counts(_outputs(options.candidate, inputs), references)
    champion = scored.counts(_outputs(options.champion, inputs), references)
    items, resamples = options.items or len(held_out), options.resamples or settings.resamples
    rates = [
        promotion_rate(case, scored, alpha=settings.alpha, resamples=resamples, trials=options.trials, items=items)
        for case in cases(candidate, champion, scored, margin=settings.margin, items=items)
    ]
    Console(file=sys.stderr, width=TABLE_WIDTH).print(_table(rates))
    gate = {
        "metric": scored.name,
        "margin": settings.margin,
        "alpha": settings.alpha,
        "resamples": resamples,
        "trials": options.trials,
    }
    print(json.dumps({"gate": gate, "rates": [asdict(rate) for rate in rates]}, indent=2))
    return 1 if any(rate.most is not None and rate.promoted > rate.most for rate in rates) else 0


if __name__ == "__main__":
    run_cli(main)
