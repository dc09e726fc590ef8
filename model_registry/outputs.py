"""What a packaged model makes of segments: its translations, how it behaves in batches, its speed and its size."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dragoman.latency import latencies_ms, p95
from dragoman.predictor import Predictor, Result

# Enough for well-filled batches, few enough that progress moves.
SEGMENTS_AT_ONCE = 256
# List lengths that the batch sample is cut into: batches then differ in size as well as in company.
LIST_LENGTHS = (7, 32)
LATENCY_ROUNDS = 3

Show = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """One translation a segment; ``cut`` are segments cut at the token limit, ``refused`` those without, which count
    as empty, with the reason.
    """

    hypotheses: tuple[str, ...]
    cut: frozenset[int]
    refused: Mapping[int, str]


def translate(predictor: Predictor, sources: Sequence[str], show: Show = lambda done: None) -> Outputs:
    """Translate the segments with the bundle's own decoding settings; ``show`` is told how many are done."""
    hypotheses: list[str] = []
    cut: set[int] = set()
    refused: dict[int, str] = {}
    for start in range(0, len(sources), SEGMENTS_AT_ONCE):
        for index, outcome in enumerate(predictor(sources[start : start + SEGMENTS_AT_ONCE]), start=start):
            if isinstance(outcome, Result):
                hypotheses.append(outcome.value.text)
                if outcome.value.finish_reason == "length":
                    cut.add(index)
            else:
                hypotheses.append("")
                refused[index] = str(outcome.error)
        show(len(hypotheses))
    return Outputs(hypotheses=tuple(hypotheses), cut=frozenset(cut), refused=refused)


def changed_in_batches(predictor: Predictor, sources: Sequence[str], *, sample: int) -> float:
    """The share of sampled segments whose translation alone differs from one among others, in mixed batches."""
    chosen = spread(sources, sample)
    alone = [translate(predictor, [source]).hypotheses[0] for source in chosen]
    changed: set[int] = set()
    for length in LIST_LENGTHS:
        # Neighbours of the test set are alike; a stride mixes them, and every list length mixes them otherwise.
        order = [index for first in range(length) for index in range(first, len(chosen), length)]
        for start in range(0, len(order), length):
            rows = order[start : start + length]
            together = translate(predictor, [chosen[row] for row in rows]).hypotheses
            changed |= {row for row, found in zip(rows, together, strict=True) if found != alone[row]}
    return len(changed) / len(chosen)


def p95_latencies_ms(predictors: Sequence[Predictor], sources: Sequence[str], *, sample: int) -> list[float | None]:
    """The p95 latency of each predictor over texts, or None where it answers nothing.

    Predictors take turns, and a text counts with the fastest of its rounds: what other processes of the machine add now
    and then is in the tail of single requests and must not decide about a model.
    """
    timed: list[list[float]] = [[] for _ in predictors]
    for predictor in predictors:
        predictor.warm_up()
    for source in spread(sources, sample):
        rounds = [[latencies_ms(predictor, [source]) for predictor in predictors] for _ in range(LATENCY_ROUNDS)]
        for values, taken in zip(timed, zip(*rounds, strict=True), strict=True):
            # A text that is refused has no latency, in any round.
            if all(taken):
                values.append(min(latency for (latency,) in taken))
    return [p95(values) if values else None for values in timed]


def size_mb(predictor: Predictor) -> float:
    """The size of a bundle's files in megabytes."""
    return sum(entry.bytes for entry in predictor.bundle.manifest.files) / 1e6


def spread(sources: Sequence[str], count: int) -> list[str]:
    """At most ``count`` of the segments, evenly from all over them."""
    step = max(1.0, len(sources) / count)
    return [sources[int(index * step)] for index in range(min(count, len(sources)))]
