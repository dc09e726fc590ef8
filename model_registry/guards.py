"""What a candidate must not do, whatever its score is: limits on the shape of its translations, its speed and size.

A segment counts as copied, empty or repeated only if its reference is not: what is right is no fault.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sacrebleu.metrics import BLEU

from model_registry.gate_settings import GuardSettings
from model_registry.outputs import Outputs

# Degenerate repetition: up to four words, four times or more in a row. Three happen in real text ("no, no, no").
REPEATED_WORDS, REPEATED_TIMES = 4, 4


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One system on the segments. None is what no limit asks for, and a ``p95_ms`` of nothing but refusals."""

    outputs: Outputs
    changed_in_batches: float | None
    p95_ms: float | None
    size_mb: float


@dataclass(frozen=True, kw_only=True)
class Guard:
    """One limit: the candidate's value (None if it could not be measured), the champion's, what is accepted."""

    name: str
    value: float | None
    champion: float | None
    accepted: str
    passed: bool


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """What guards see in a system's translations; shares of segments."""

    length_ratio: float
    brevity_penalty: float
    empty: float
    copied: float
    repeated: float


def check_guards(
    candidate: Measured,
    champion: Measured | None,
    sources: Sequence[str],
    references: Sequence[str],
    limits: GuardSettings,
) -> list[Guard]:
    """Every guard that has a limit, in the order of the settings."""
    ours = _shape(candidate.outputs, sources, references)
    theirs = _shape(champion.outputs, sources, references) if champion else None

    def of_shape(name: str, field: str, low: float | None, high: float | None) -> list[Guard]:
        return _guard(name, getattr(ours, field), getattr(theirs, field) if theirs else None, low, high)

    guards = [
        *of_shape("length_ratio", "length_ratio", limits.length_ratio_min, limits.length_ratio_max),
        *of_shape("brevity_penalty", "brevity_penalty", limits.brevity_penalty_min, None),
        *of_shape("empty_share", "empty", None, limits.empty_share_max),
        *of_shape("copied_share", "copied", None, limits.copied_share_max),
        *of_shape("repeated_share", "repeated", None, limits.repeated_share_max),
    ]
    changed = champion.changed_in_batches if champion else None
    guards += _guard(
        "changed_in_batches_share", candidate.changed_in_batches, changed, None, limits.changed_in_batches_share_max
    )
    p95_ms, megabytes = (champion.p95_ms, champion.size_mb) if champion else (None, None)
    guards += _guard("latency_p95_ms", candidate.p95_ms, p95_ms, None, limits.latency_p95_ms_max)
    if champion:
        guards += _guard("latency_ratio", _ratio(candidate.p95_ms, p95_ms), 1.0, None, limits.latency_ratio_max)
    guards += _guard("size_mb", candidate.size_mb, megabytes, None, limits.size_mb_max)
    if champion:
        guards += _guard("size_ratio", _ratio(candidate.size_mb, megabytes), 1.0, None, limits.size_ratio_max)
    return guards


def is_repeated(text: str) -> bool:
    """Whether one to four words stand four times or more in a row."""
    words = text.split()
    for length in range(1, REPEATED_WORDS + 1):
        equal = 0
        for index in range(length, len(words)):
            equal = equal + 1 if words[index] == words[index - length] else 0
            if equal >= length * (REPEATED_TIMES - 1):
                return True
    return False


def _guard(
    name: str, value: float | None, champion: float | None, low: float | None, high: float | None
) -> list[Guard]:
    if low is None and high is None:
        return []
    accepted = " and ".join(
        f"{words} {limit:g}" for words, limit in (("at least", low), ("at most", high)) if limit is not None
    )
    passed = value is not None and (low is None or value >= low) and (high is None or value <= high)
    return [Guard(name=name, value=value, champion=champion, accepted=accepted, passed=passed)]


def _ratio(value: float | None, to: float | None) -> float | None:
    return value / to if value is not None and to else None


def _shape(outputs: Outputs, sources: Sequence[str], references: Sequence[str]) -> _Shape:
    lengths = BLEU(force=True).corpus_score(list(outputs.hypotheses), [list(references)])
    rows = list(zip(outputs.hypotheses, sources, references, strict=True))
    repeated = [
        (is_repeated(hypothesis) or index in outputs.cut) and not is_repeated(reference)
        for index, (hypothesis, _, reference) in enumerate(rows)
    ]
    return _Shape(
        length_ratio=float(lengths.sys_len / max(1, lengths.ref_len)),
        brevity_penalty=float(lengths.bp),
        empty=_share([not hypothesis.strip() and bool(reference.strip()) for hypothesis, _, reference in rows]),
        copied=_share([hypothesis == source != reference for hypothesis, source, reference in rows]),
        repeated=_share(repeated),
    )


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags)
