"""The rule that lets a candidate become champion: guards first, then the interval of the difference and the margin."""

from collections.abc import Sequence
from dataclasses import dataclass

from dragoman.manifest import Manifest
from model_registry.gate_settings import GateSettings
from model_registry.guards import Guard, Measured, check_guards
from model_registry.held_out import HeldOut
from model_registry.paired_bootstrap import (
    Comparison,
    Counts,
    Outcome,
    compare,
    corpus_score,
    decide,
    segment_counts,
    segments_missing,
    signature,
)


@dataclass(frozen=True, kw_only=True)
class SetScores:
    """The scores of both on one held-out set."""

    label: str
    segments: int
    candidate: float
    champion: float | None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A judgement with its grounds; ``comparison`` is None where there is no champion."""

    verdict: Outcome
    reason: str
    settings: GateSettings
    signature: str
    segments_digest: str
    sets: tuple[SetScores, ...]
    left_out: tuple[str, ...]
    comparison: Comparison | None
    guards: tuple[Guard, ...]


def another_work(candidate: Manifest, champion: Manifest | None) -> str | None:
    """Why the two cannot be compared at all, if so: another task or another language pair."""
    if champion is None or (candidate.task, candidate.languages) == (champion.task, champion.languages):
        return None
    return f"it does {_work(candidate)} and the champion {_work(champion)}; register it by another name"


def judge(candidate: Measured, champion: Measured | None, held_out: HeldOut, settings: GateSettings) -> Trial:
    """Judge what both made of the same segments."""
    sources, references = held_out.sources, held_out.references
    guards = check_guards(candidate, champion, sources, references, settings.guards)
    ours = segment_counts(settings.metric, candidate.outputs.hypotheses, references)
    theirs = segment_counts(settings.metric, champion.outputs.hypotheses, references) if champion else None
    comparison = None
    if theirs is not None:
        comparison = compare(
            settings.metric, ours, theirs, alpha=settings.alpha, resamples=settings.resamples, seed=settings.seed
        )
    verdict, reason = _verdict(comparison, guards, settings)
    return Trial(
        verdict=verdict,
        reason=reason,
        settings=settings,
        signature=signature(settings.metric, candidate.outputs.hypotheses, references),
        segments_digest=held_out.digest,
        sets=tuple(_scores_by_set(held_out, settings.metric, ours, theirs)),
        left_out=held_out.left_out,
        comparison=comparison,
        guards=tuple(guards),
    )


def _verdict(comparison: Comparison | None, guards: Sequence[Guard], settings: GateSettings) -> tuple[Outcome, str]:
    if failed := [guard for guard in guards if not guard.passed]:
        return "rejected", " and ".join(_failure(guard) for guard in failed)
    if comparison is None:
        return "promoted", "first champion"
    if comparison.segments < settings.minimum_segments:
        missing = settings.minimum_segments - comparison.segments
        return "undecided", (
            f"{comparison.segments} segments are fewer than minimum_segments ({settings.minimum_segments}), "
            f"need {missing} more segments"
        )
    outcome = decide(comparison, mode=settings.mode, margin=settings.margin)
    if outcome == "undecided":
        missing = segments_missing(comparison, margin=settings.margin)
        return outcome, (
            f"interval wider than margin ({comparison.width:.2f} > {settings.margin:g}), "
            f"need about {missing} more segments; {_difference(comparison, settings)}"
        )
    return outcome, f"{_difference(comparison, settings)}: {_meaning(outcome, settings)}"


def _failure(guard: Guard) -> str:
    value = "could not be measured" if guard.value is None else f"is {guard.value:.4g}"
    return f"its {guard.name} {value}, accepted is {guard.accepted}"


def _difference(comparison: Comparison, settings: GateSettings) -> str:
    confidence = 100 * (1 - 2 * settings.alpha)
    return (
        f"{settings.metric} {comparison.candidate:.2f} against the champion's {comparison.champion:.2f}, difference "
        f"{comparison.difference:+.2f} ({confidence:g} % interval {comparison.low:+.2f} to {comparison.high:+.2f})"
    )


def _meaning(outcome: Outcome, settings: GateSettings) -> str:
    if settings.mode == "superiority":
        return "surely better" if outcome == "promoted" else f"surely not better by {settings.margin:g}"
    return f"surely not worse by {settings.margin:g}" if outcome == "promoted" else "surely worse"


def _scores_by_set(held_out: HeldOut, metric: str, ours: Counts, theirs: Counts | None) -> list[SetScores]:
    found, start = [], 0
    for one in held_out.sets:
        rows = slice(start, start + len(one.pairs))
        found.append(
            SetScores(
                label=one.label,
                segments=len(one.pairs),
                candidate=corpus_score(metric, ours[rows]),
                champion=None if theirs is None else corpus_score(metric, theirs[rows]),
            )
        )
        start = rows.stop
    return found


def _work(manifest: Manifest) -> str:
    return f"{manifest.task} {manifest.languages.source}-{manifest.languages.target}"
