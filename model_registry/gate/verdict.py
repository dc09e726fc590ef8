"""The rule that lets a candidate become champion: guards first, then the interval of the difference and the margin.

A first champion has nothing to be compared with; it needs the floor that the settings ask for.
"""

from dataclasses import dataclass

from dragoman.bundle.manifest import Manifest
from dragoman.tasks.base import task_class
from model_registry.gate.guards import Guard, check_guards
from model_registry.gate.held_out import HeldOut
from model_registry.gate.measurements import Measurements
from model_registry.gate.settings import GateSettings
from scoring.base import Counts, Metric
from scoring.bootstrap import Comparison, Outcome, compare, decide, items_missing
from scoring.table import metric as metric_named


@dataclass(frozen=True, kw_only=True)
class SetScores:
    """The scores of both on one held-out set; the difference is positive where the candidate is better."""

    label: str
    items: int
    candidate: float
    champion: float | None
    difference: float | None


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A verdict with its grounds; ``comparison`` is None where there is no champion."""

    verdict: Outcome
    reason: str
    settings: GateSettings
    signature: str
    held_out_digest: str
    sets: tuple[SetScores, ...]
    left_out: tuple[str, ...]
    comparison: Comparison | None
    guards: tuple[Guard, ...]


def incomparable(candidate: Manifest, champion: Manifest | None) -> str | None:
    """Return the reason why two bundles cannot be compared, that they do different work, or None where they can."""
    if champion is None:
        return None
    ours, theirs = (task_class(one.task).work(one) for one in (candidate, champion))
    return None if ours == theirs else f"it does {ours} and the champion {theirs}; register it by another name"


def judge(
    candidate: Measurements, champion: Measurements | None, held_out: HeldOut, settings: GateSettings
) -> Judgement:
    """Judge the answers of both to the same items."""
    references, metric = held_out.references, metric_named(settings.metric)
    guards = check_guards(candidate, champion, held_out.inputs, references, settings)
    ours = metric.counts(candidate.outputs.plain, references)
    theirs = metric.counts(champion.outputs.plain, references) if champion else None
    comparison = None
    if theirs is None:
        verdict, reason = _first(metric, metric.score(ours.sum(axis=0)), settings)
    else:
        comparison = compare(
            metric, ours, theirs, alpha=settings.alpha, resamples=settings.resamples, seed=settings.seed
        )
        verdict, reason = _compared(metric, comparison, settings)
    failed = [guard for guard in guards if not guard.passed]
    if failed:
        values = ["could not be measured" if one.value is None else f"is {one.value:.4g}" for one in failed]
        told = zip(failed, values, strict=True)
        verdict = "rejected"
        reason = " and ".join(f"its {one.name} {value}, accepted is {one.accepted}" for one, value in told)
    return Judgement(
        verdict=verdict,
        reason=reason,
        settings=settings,
        signature=metric.signature(),
        held_out_digest=held_out.digest,
        sets=_scores_by_set(held_out, metric, ours, theirs),
        left_out=held_out.left_out,
        comparison=comparison,
        guards=tuple(guards),
    )


def _first(metric: Metric, score: float, settings: GateSettings) -> tuple[Outcome, str]:
    floor = settings.floor
    if floor is None or (score >= floor if metric.higher_is_better else score <= floor):
        return "promoted", "first champion"
    needed = f"at {'least' if metric.higher_is_better else 'most'} {floor:g}"
    return "rejected", f"its {metric.name} is {score:.2f}, and a first champion needs {needed} (floor of the gate)"


def _compared(metric: Metric, comparison: Comparison, settings: GateSettings) -> tuple[Outcome, str]:
    """Decide by the number of items, then by the interval and the margin, and give the reason in words."""
    margin = settings.margin
    if comparison.items < settings.minimum_items:
        missing = settings.minimum_items - comparison.items
        return "undecided", (
            f"{comparison.items} items are fewer than minimum_items ({settings.minimum_items}), "
            f"need {missing} more items"
        )
    confidence = 100 * (1 - 2 * settings.alpha)
    # Positive is better, so the subtraction is the other way round where a lower score is better.
    which = "difference" if metric.higher_is_better else "champion minus candidate"
    difference = (
        f"{settings.metric} {comparison.candidate:.2f} against the champion's {comparison.champion:.2f}, {which} "
        f"{comparison.difference:+.2f} ({confidence:g} % interval {comparison.low:+.2f} to {comparison.high:+.2f})"
    )
    outcome = decide(comparison, mode=settings.mode, margin=margin)
    if outcome == "undecided":
        missing = items_missing(comparison, margin=margin)
        return outcome, (
            f"interval wider than margin ({comparison.width:.2f} > {margin:g}), need about {missing} more items; "
            f"{difference}"
        )
    meanings = {
        ("superiority", "promoted"): "surely better",
        ("superiority", "rejected"): f"surely not better by {margin:g}",
        ("non_inferiority", "promoted"): f"surely not worse by {margin:g}",
        ("non_inferiority", "rejected"): "surely worse",
    }
    return outcome, f"{difference}: {meanings[settings.mode, outcome]}"


def _scores_by_set(held_out: HeldOut, metric: Metric, ours: Counts, theirs: Counts | None) -> tuple[SetScores, ...]:
    found, start = [], 0
    sign = 1 if metric.higher_is_better else -1
    for one in held_out.sets:
        rows = slice(start, start + len(one.items))
        start = rows.stop
        candidate = metric.score(ours[rows].sum(axis=0))
        champion = None if theirs is None else metric.score(theirs[rows].sum(axis=0))
        difference = None if champion is None else sign * (candidate - champion)
        found.append(
            SetScores(
                label=one.label,
                items=len(one.items),
                candidate=candidate,
                champion=champion,
                difference=difference,
            )
        )
    return tuple(found)
