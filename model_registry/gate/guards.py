"""Guards: limits on the shape of a candidate's outputs, its speed and its size, which hold whatever its score is.

The task's own guards are in ``scoring``, and a metric guards by its name; those on changed inputs, batches, latency and
size are the same for every task. A limit is a figure, or a distance from the champion's. Where a figure can be tested
(a metric, a share of items), a limit is broken only when it is surely broken: on a few dozen items chance breaks it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from model_registry.gate.measurements import Measurements
from model_registry.gate.settings import GateSettings, Range
from scoring.base import Missing, Share, exact_test
from scoring.bootstrap import Comparison, compare, confidence_limits
from scoring.table import METRICS, guard, metric

# All limits are distances from a champion, and there is none.
UNLIMITED = "anything, without a champion"
# The beginning of a note on a figure that is outside its limits, perhaps by chance.
NOT_SURELY = "not surely: "


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
        guards += [_share_guard(key, value, theirs.get(key), limits, settings.alpha) for key, value in ours.items()]
    for name, one in settings.agreement.items():
        champions = champion.agreement[name] if champion else None
        limits = Range(min=one.min, fall=one.fall)
        guards.append(_share_guard(f"agreement/{name}", candidate.agreement[name], champions, limits, settings.alpha))
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
    """Check a metric's value by its interval, and that it is not surely worse than the champion's by the margin."""
    scored = metric(name)
    ours = scored.counts(candidate.outputs.plain, references)
    theirs = scored.counts(champion.outputs.plain, references) if champion else None
    value = scored.score(ours.sum(axis=0))
    alpha, resamples, seed = settings.alpha, settings.resamples, settings.seed
    percent = f"{100 * (1 - 2 * alpha):g} % interval"

    @cache
    def compared() -> Comparison:
        assert theirs is not None
        return compare(scored, ours, theirs, alpha=alpha, resamples=resamples, seed=seed)

    def difference() -> str:
        # Positive is better, as in the comparison itself.
        which = "difference" if scored.higher_is_better else "champion minus candidate"
        found = compared()
        gain, low, high = (scored.figure(number, signed=True) for number in (found.difference, found.low, found.high))
        return f"{which} {gain}, {percent} {low} to {high}"

    def by_itself(bound: float) -> str:
        low, high = confidence_limits(scored, ours, alpha=alpha, resamples=resamples, seed=seed)
        chance = low <= bound if value > bound else bound <= high
        return f"{percent} {scored.figure(low)} to {scored.figure(high)}" if chance else ""

    def against_champion(bound: float) -> str:
        return difference() if compared().high >= 0 else ""

    champions = None if theirs is None else scored.score(theirs.sum(axis=0))
    found = _guard(name, value, champions, limits, by_itself=by_itself, against_champion=against_champion)
    if limits.margin is None or theirs is None:
        return found
    accepted = f"not surely worse than the champion's by {limits.margin:g}"
    return replace(
        found,
        accepted=f"{found.accepted} and {accepted}" if found.accepted != UNLIMITED else accepted,
        passed=found.passed and not compared().high < -limits.margin,
        note=found.note or difference(),
    )


def _share_guard(
    name: str, value: float | Missing, champion: float | Missing | None, limits: Range, alpha: float
) -> Guard:
    """Check a figure; a share of items has fallen below the champion's only if the exact test says so."""

    def against_champion(bound: float) -> str:
        if not (isinstance(value, Share) and isinstance(champion, Share)):
            return ""
        test = exact_test(name, value.hits, champion.hits)
        # Its p-value counts both directions, and this is about one.
        return f"{test.better} items better, {test.worse} worse, p = {test.p:.3f}" if test.p > 2 * alpha else ""

    return _guard(name, value, champion, limits, against_champion=against_champion)


def _surely(bound: float) -> str:
    return ""


def _guard(
    name: str,
    value: float | Missing | None,
    champion: float | Missing | None,
    limits: Range,
    *,
    by_itself: Callable[[float], str] = _surely,
    against_champion: Callable[[float], str] = _surely,
) -> Guard:
    """Hold a value against its limits; one that is missing for a reason passes, one that has no number does not.

    The two functions say why an absolute bound, or a distance, may be broken by chance, or nothing where it surely is
    broken. They are asked only when it is, since they may take a while.
    """
    theirs = _number(champion)
    if isinstance(value, Missing):
        return Guard(name=name, value=None, champion=theirs, accepted="anything", passed=True, note=value.reason)
    bounds = [("at least", limits.min, "", by_itself), ("at most", limits.max, "", by_itself)]
    if theirs is not None and limits.fall is not None:
        reason = f" (the champion's less {limits.fall:g})"
        bounds.append(("at least", theirs - limits.fall, reason, against_champion))
    if theirs is not None and limits.rise is not None:
        reason = f" (the champion's plus {limits.rise:g})"
        bounds.append(("at most", theirs + limits.rise, reason, against_champion))
    ours, accepted, notes = _number(value), [], []
    passed = ours is not None
    for words, bound, reason, chance in bounds:
        if bound is None:
            continue
        accepted.append(f"{words} {bound:g}{reason}")
        if ours is not None and not (bound <= ours if words == "at least" else ours <= bound):
            note = chance(bound)
            passed = passed and bool(note)
            notes += [NOT_SURELY + note] if note else []
    return Guard(
        name=name,
        value=ours,
        champion=theirs,
        accepted=" and ".join(accepted) or UNLIMITED,
        passed=passed,
        note="no value" if ours is None else "; ".join(dict.fromkeys(notes)),
    )


def _number(value: float | Missing | None) -> float | None:
    """Return a value that JSON can hold, or None."""
    return float(value) if isinstance(value, float | int) and math.isfinite(value) else None
