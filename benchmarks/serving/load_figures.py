"""Throughput, percentiles of latency, and errors, computed from the answers of a load."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.serving.load_generator import OK, Answer, StreamAnswers


@dataclass(frozen=True, kw_only=True)
class LoadFigures:
    """One stream in its window; latencies are those of the answers with status 200."""

    requests_per_s: float
    target_tokens_per_s: float | None
    target_tokens_per_answer: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    answers: int
    errors: int
    error: str | None


def load_figures(stream: StreamAnswers, count_tokens: Callable[[Answer], int] | None) -> LoadFigures:
    """Return the throughput of the answers that came within the window, and the latencies that users saw in it.

    A closed loop's latencies are those of the same answers. An open loop's are those of all requests that were due in
    the window, however late they were answered: leaving the late ones out would hide the overload.
    """
    came = [answer for answer in stream.answers if stream.begin <= answer.answered <= stream.end]
    seen = came
    if stream.is_open:
        seen = [answer for answer in stream.answers if stream.begin <= answer.due <= stream.end]
    done = [answer for answer in came if answer.status == OK]
    latencies = [1000 * (answer.answered - answer.due) for answer in seen if answer.status == OK]
    failed = [answer for answer in seen if answer.status != OK]
    seconds, tokens = stream.end - stream.begin, None if count_tokens is None else sum(map(count_tokens, done))
    return LoadFigures(
        requests_per_s=round(len(done) / seconds, 2),
        target_tokens_per_s=None if tokens is None else round(tokens / seconds, 1),
        target_tokens_per_answer=round(tokens / len(done), 1) if done and tokens is not None else None,
        p50_ms=percentile(latencies, 50),
        p95_ms=percentile(latencies, 95),
        p99_ms=percentile(latencies, 99),
        answers=len(seen),
        errors=len(failed),
        error=f"{failed[0].status}: {failed[0].text[:200]}" if failed else None,
    )


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Return the smallest value that at least ``percent`` % of the values do not exceed; None when there are none."""
    if not values:
        return None
    return round(sorted(values)[max(0, math.ceil(percent / 100 * len(values)) - 1)], 2)


def first_outputs(streams: Sequence[StreamAnswers], parse: Callable[[str], Any]) -> dict[int, Any]:
    """Return the output of each request's index, from its first answer with status 200."""
    outputs: dict[int, Any] = {}
    for stream in streams:
        for answer in stream.answers:
            if answer.status == OK:
                outputs.setdefault(answer.index, parse(answer.text))
    return outputs
