"""Guards: limits on the shape of a candidate's outputs, its speed and its size, which hold whatever its score is.

The task's own guards are in ``scoring``; those on batches, latency and size are the same for every task.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model_registry.gate.measurements import Measurements
from model_registry.gate.settings import GateSettings, Range
from scoring.table import guard


@dataclass(frozen=True, kw_only=True)
class Guard:
    """One limit: the candidate's value (None if it could not be measured), the champion's, what is accepted."""

    name: str
    value: float | None
    champion: float | None
    accepted: str
    passed: bool


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
        value = guard(name)(inputs, candidate.outputs.values, references)
        theirs = guard(name)(inputs, champion.outputs.values, references) if champion else None
        guards.append(_guard(name, value, theirs, limits))
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


def _guard(name: str, value: float | None, champion: float | None, limits: Range) -> Guard:
    bounds = (("at least", limits.min), ("at most", limits.max))
    accepted = " and ".join(f"{words} {bound:g}" for words, bound in bounds if bound is not None)
    least, most = (-math.inf if limits.min is None else limits.min), (math.inf if limits.max is None else limits.max)
    passed = value is not None and least <= value <= most
    return Guard(name=name, value=value, champion=champion, accepted=accepted, passed=passed)
