"""Measurements of a loaded bundle: its outputs, whether batches change them, its speed and its size."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dragoman.bundle.manifest import Score
from dragoman.latency import latencies_ms, p95
from dragoman.predictor import Outputs, Predictor, answer_all

# List lengths that the batch sample is cut into: an odd small one and a full batch, so that batches differ in size as
# well as in the other items.
LIST_LENGTHS = (7, 32)
# The fastest of three rounds is seldom disturbed by other processes.
LATENCY_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """The figures of one bundle. None means not asked for by any limit, and for ``p95_ms`` also: all items refused.

    ``baselines`` are what training has scored beside the model.
    """

    outputs: Outputs
    changed_in_batches: float | None
    p95_ms: float | None
    size_mb: float
    baselines: tuple[Score, ...] = ()


def changed_in_batches(predictor: Predictor, items: Sequence[Any], *, sample: int) -> float:
    """Return the share of sampled items whose output alone differs from the one among others, in mixed batches."""
    chosen = spread(items, sample)
    alone = [answer_all(predictor, [item]).plain[0] for item in chosen]
    changed: set[int] = set()
    for length in LIST_LENGTHS:
        # Neighbours in a test set are alike; a stride mixes them, and does so in another way for each list length.
        order = [index for first in range(length) for index in range(first, len(chosen), length)]
        for start in range(0, len(order), length):
            rows = order[start : start + length]
            together = answer_all(predictor, [chosen[row] for row in rows]).plain
            changed |= {row for row, found in zip(rows, together, strict=True) if found != alone[row]}
    return len(changed) / len(chosen)


def p95_latencies_ms(predictors: Sequence[Predictor], items: Sequence[Any], *, sample: int) -> list[float | None]:
    """Measure the p95 latency of each predictor over items; None where it answers nothing.

    Predictors take turns, and an item counts with the fastest of its rounds: delays by other processes of the machine
    are in the tail of single requests and must not decide about a model.
    """
    timed: list[list[float]] = [[] for _ in predictors]
    for predictor in predictors:
        predictor.warm_up()
    for item in spread(items, sample):
        rounds = [[latencies_ms(predictor, [item]) for predictor in predictors] for _ in range(LATENCY_ROUNDS)]
        for values, taken in zip(timed, zip(*rounds, strict=True), strict=True):
            # An item that is refused has no latency, in any round.
            if all(taken):
                values.append(min(latency for (latency,) in taken))
    return [p95(values) if values else None for values in timed]


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """Take at most ``count`` of the items, evenly from all over them."""
    step = max(1.0, len(items) / count)
    return [items[int(index * step)] for index in range(min(count, len(items)))]
