"""The rule that lets a candidate become champion: guards first, then the interval of the difference and the margin.

A first champion has nothing to be compared with: it needs the floor that the settings ask for, and must do better than
the first of the baselines that its training scored on the same items.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dragoman.bundle.manifest import Manifest, Score
from dragoman.tasks.base import Task, task_class
from model_registry.gate.guards import Guard, check_guards
from model_registry.gate.held_out import HeldOut
from model_registry.gate.measurements import Measurements
from model_registry.gate.settings import GateSettings
from scoring.base import Counts, Metric, PairedTest
from scoring.bootstrap import RESAMPLES, SEED, Comparison, Outcome, compare, decide, items_missing
from scoring.table import metric as metric_named

# Items that are shown of those that got worse: as many as anybody looks at.
MOST_CHANGES = 20


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
    """A verdict with its grounds; ``comparison`` is None where there is no champion.

    ``paired_test`` is for information, as are ``baselines``: what a simple method reaches by the metric on these sets.
    """

    verdict: Outcome
    reason: str
    settings: GateSettings
    signature: str
    held_out_digest: str
    sets: tuple[SetScores, ...]
    left_out: tuple[str, ...]
    comparison: Comparison | None
    paired_test: PairedTest | None
    baselines: tuple[Score, ...]
    guards: tuple[Guard, ...]
    changes: tuple[Mapping[str, Any], ...] = ()
    """The items whose score has fallen most below the champion's, as rows for people; filled in by ``with_changes``."""


def with_changes(
    judgement: Judgement, task: type[Task], candidate: Measurements, champion: Measurements, held_out: HeldOut
) -> Judgement:
    """Add the items that a person would want to see: those that the champion does best and the candidate worst."""
    metric, inputs, references = metric_named(judgement.settings.metric), held_out.inputs, held_out.references
    sign = 1 if metric.higher_is_better else -1
    scores = (metric.counts(one.outputs.plain, references) for one in (champion, candidate))
    pairs = zip(*scores, strict=True)
    falls = [(sign * (metric.score(theirs) - metric.score(ours)), row) for row, (theirs, ours) in enumerate(pairs)]
    rows = []
    for fall, row in sorted(falls, key=lambda one: (-one[0], one[1]))[:MOST_CHANGES]:
        if fall > 0:
            theirs, ours = (
                task.sample(inputs[row], references[row], one.outputs.plain[row]) for one in (champion, candidate)
            )
            changed = {f"champion's {name}": cell for name, cell in theirs.items() if cell != ours[name]}
            rows.append({"item": row + 1, **ours, **changed})
    return replace(judgement, changes=tuple(rows))


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
    sets = _scores_by_set(held_out, metric, ours, theirs)
    baselines = _baselines(candidate.baselines, sets, metric)
    comparison = paired_test = None
    if theirs is None:
        verdict, reason = _first(metric, metric.score(ours.sum(axis=0)), sets, baselines, settings)
    else:
        comparison = compare(
            metric, ours, theirs, alpha=settings.alpha, resamples=settings.resamples, seed=settings.seed
        )
        paired_test = metric.paired_test(ours, theirs)
        verdict, reason = _compared(metric, comparison, settings)
    failed = [guard for guard in guards if not guard.passed]
    if failed:
        verdict, reason = "rejected", _failed(failed)
    return Judgement(
        verdict=verdict,
        reason=reason,
        settings=settings,
        signature=metric.signature(),
        held_out_digest=held_out.digest,
        sets=sets,
        left_out=held_out.left_out,
        comparison=comparison,
        paired_test=paired_test,
        baselines=baselines,
        guards=tuple(guards),
    )


def _failed(guards: Sequence[Guard]) -> str:
    """Say which guards failed, with value and limit; of one with several figures the first, and how many more."""
    told, more = {}, Counter(guard.name.partition("/")[0] for guard in guards)
    for guard in guards:
        name = guard.name.partition("/")[0]
        if name in told:
            continue
        value = "could not be measured" if guard.value is None else f"is {guard.value:.4g}"
        note = f" ({guard.note})" if guard.note and guard.value is not None else ""
        others = f", likewise {more[name] - 1} more" if more[name] > 1 else ""
        told[name] = f"its {guard.name} {value}, accepted is {guard.accepted}{note}{others}"
    return "; ".join(told.values())


def _first(
    metric: Metric, score: float, sets: Sequence[SetScores], baselines: Sequence[Score], settings: GateSettings
) -> tuple[Outcome, str]:
    if not math.isfinite(score):
        return "rejected", f"its {metric.name} has no value on these items"
    floor, sign = settings.floor, 1 if metric.higher_is_better else -1
    if floor is not None and sign * (score - floor) < 0:
        needed = f"at {'least' if metric.higher_is_better else 'most'} {floor:g}"
        return "rejected", (
            f"its {metric.name} is {metric.figure(score)}, and a first champion needs {needed} (floor of the gate): "
            "train longer or with more data, or set another floor"
        )
    for one in sets if settings.above_baseline else ():
        # The first one is the trivial one, which has looked at no input.
        trivial = next((baseline for baseline in baselines if baseline.test_set == one.label), None)
        if trivial is not None and sign * (one.candidate - trivial.value) <= 0:
            return "rejected", (
                f"its {metric.name} on {one.label} is {metric.figure(one.candidate)}, and a first champion must do "
                f"better than the baseline {trivial.engine} ({metric.figure(trivial.value)}): train longer or with "
                "more data, or set above_baseline: false"
            )
    return "promoted", "first champion"


def _compared(metric: Metric, comparison: Comparison, settings: GateSettings) -> tuple[Outcome, str]:
    """Decide by the number of items, then by the interval and the margin, and give the reason in words."""
    margin = settings.margin
    if not math.isfinite(comparison.candidate):
        return "rejected", f"its {metric.name} has no value on these items"
    if not all(map(math.isfinite, (comparison.champion, comparison.low, comparison.high))):
        which = "interval" if math.isfinite(comparison.champion) else "champion"
        return "undecided", f"the {metric.name} of the {which} has no value on these items; give more or other ones"
    if comparison.items < settings.minimum_items:
        missing = settings.minimum_items - comparison.items
        return "undecided", (
            f"{comparison.items} items are fewer than minimum_items ({settings.minimum_items}), "
            f"need {missing} more items"
        )
    confidence = 100 * (1 - 2 * settings.alpha)
    # Positive is better, so the subtraction is the other way round where a lower score is better.
    which = "difference" if metric.higher_is_better else "champion minus candidate"
    ours, theirs, width = map(metric.figure, (comparison.candidate, comparison.champion, comparison.width))
    gain, low, high = (
        metric.figure(value, signed=True) for value in (comparison.difference, comparison.low, comparison.high)
    )
    difference = (
        f"{settings.metric} {ours} against the champion's {theirs}, {which} {gain} "
        f"({confidence:g} % interval {low} to {high})"
    )
    outcome = decide(comparison, mode=settings.mode, margin=margin)
    if outcome == "undecided":
        missing = items_missing(comparison, margin=margin)
        return outcome, (
            f"interval wider than margin ({width} > {margin:g}), need about {missing} more items; {difference}"
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


def _baselines(known: Sequence[Score], sets: Sequence[SetScores], metric: Metric) -> tuple[Score, ...]:
    """Choose the scores of baselines by the same metric on the same items, under the sets' names of this decision."""
    signature = metric.interval_signature(RESAMPLES, SEED)
    return tuple(
        replace(score, test_set=one.label)
        for one in sets
        for score in known
        if score.signature == signature and score.test_set.rpartition("@")[2] == one.label.rpartition("@")[2]
    )
