"""Guards: limits on the shape of a candidate's outputs, its speed and its size, which hold whatever its score is.

The task's own guards are in ``scoring``, and a metric guards by its name; those on batches, latency and size are the
same for every task. A limit is a figure, or a distance from the champion's.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from model_registry.gate.measurements import Measurements
from model_registry.gate.settings import GateSettings, Range
from scoring.base import Missing
from scoring.bootstrap import compare
from scoring.table import METRICS, guard, metric

# All limits are distances from a champion, and there is none.
UNLIMITED = "anything, without a champion"


@dataclass(frozen=True, kw_only=True)
class Guard:
    """One limit: the candidate's value (None if there is none), the champion's, what is accepted.

    ``note`` says why there is no value, or what else is to be known of it. A guard that has several figures is one
    limit for each, named ``guard/subject``.
    """

    name: str
    value: float | None
    champion: float | None
    accepted: str
    passed: bool
    note: str = ""


def check_guards(
    candidate: Measurements,
    champion: Measurements | None,
    inputs: Sequence[Any],
    references: Sequence[Any],
    settings: GateSettings,
) -> list[Guard]:
    """Check every guard that has a limit: the task's in the order of the settings, then the others."""
    guards = []
    for name, limits in settings.guards.items():
        if name in METRICS:
            guards.append(_metric_guard(name, candidate, champion, references, limits, settings))
            continue
        ours = _figures(name, candidate, inputs, references)
        theirs = _figures(name, champion, inputs, references) if champion else {}
        guards += [_guard(key, value, theirs.get(key), limits) for key, value in ours.items()]
    changed = champion.changed_in_batches if champion else None
    p95_ms, megabytes = (champion.p95_ms, champion.size_mb) if champion else (None, None)
    checked = [
        ("changed_in_batches_share", candidate.changed_in_batches, changed, settings.changed_in_batches_share.max),
        ("latency_p95_ms", candidate.p95_ms, p95_ms, settings.latency_p95_ms.max),
        ("size_mb", candidate.size_mb, megabytes, settings.size_mb.max),
    ]
    # A champion that answers nothing has no latency to compare with.
    if p95_ms is not None:
        ratio = candidate.p95_ms / p95_ms if candidate.p95_ms is not None else None
        checked.append(("latency_ratio", ratio, 1.0, settings.latency_ratio.max))
    if megabytes is not None:
        checked.append(("size_ratio", candidate.size_mb / megabytes, 1.0, settings.size_ratio.max))
    guards += [_guard(name, ours, theirs, Range(max=most)) for name, ours, theirs, most in checked if most is not None]
    return guards


def _figures(
    name: str, measured: Measurements, inputs: Sequence[Any], references: Sequence[Any]
) -> dict[str, float | Missing]:
    found = guard(name)(inputs, measured.outputs.values, references)
    if isinstance(found, Mapping):
        return {f"{name}/{subject}": figure for subject, figure in found.items()}
    return {name: found}


def _metric_guard(
    name: str,
    candidate: Measurements,
    champion: Measurements | None,
    references: Sequence[Any],
    limits: Range,
    settings: GateSettings,
) -> Guard:
    """Check a metric's value, and that it is not surely worse than the champion's by the margin."""
    scored = metric(name)
    ours = scored.counts(candidate.outputs.plain, references)
    theirs = scored.counts(champion.outputs.plain, references) if champion else None
    champions = None if theirs is None else scored.score(theirs.sum(axis=0))
    found = _guard(name, scored.score(ours.sum(axis=0)), champions, limits)
    if limits.margin is None or theirs is None:
        return found
    compared = compare(scored, ours, theirs, alpha=settings.alpha, resamples=settings.resamples, seed=settings.seed)
    accepted = f"not surely worse than the champion's by {limits.margin:g}"
    # Positive is better, as in the comparison itself.
    which = "difference" if scored.higher_is_better else "champion minus candidate"
    difference, low, high = (
        scored.figure(value, signed=True) for value in (compared.difference, compared.low, compared.high)
    )
    return replace(
        found,
        accepted=f"{found.accepted} and {accepted}" if found.accepted != UNLIMITED else accepted,
        passed=found.passed and not compared.high < -limits.margin,
        note=found.note or f"{which} {difference}, {100 * (1 - 2 * settings.alpha):g} % interval {low} to {high}",
    )


def _guard(name: str, value: float | Missing | None, champion: float | Missing | None, limits: Range) -> Guard:
    """Hold a value against its limits; one that is missing for a reason passes, one that has no number does not."""
    theirs = _number(champion)
    if isinstance(value, Missing):
        return Guard(name=name, value=None, champion=theirs, accepted="anything", passed=True, note=value.reason)
    bounds = [("at least", limits.min, ""), ("at most", limits.max, "")]
    if theirs is not None and limits.fall is not None:
        bounds.append(("at least", theirs - limits.fall, f" (the champion's less {limits.fall:g})"))
    if theirs is not None and limits.rise is not None:
        bounds.append(("at most", theirs + limits.rise, f" (the champion's plus {limits.rise:g})"))
    given = [(words, bound, reason) for words, bound, reason in bounds if bound is not None]
    ours = _number(value)
    return Guard(
        name=name,
        value=ours,
        champion=theirs,
        accepted=" and ".join(f"{words} {bound:g}{reason}" for words, bound, reason in given) or UNLIMITED,
        passed=ours is not None
        and all(bound <= ours if words == "at least" else ours <= bound for words, bound, _ in given),
        note="no value" if ours is None else "",
    )


def _number(value: float | Missing | None) -> float | None:
    """Return a value that JSON can hold, or None."""
    return value if isinstance(value, float | int) and math.isfinite(value) else None
