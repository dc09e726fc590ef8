"""Measurements of a loaded bundle: its outputs, whether batches change them, its speed and its size."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dragoman.bundle.manifest import Score
from dragoman.errors import ConfigError
from dragoman.latency import latencies_ms, p95
from dragoman.predictor import Outputs, Predictor, answer_all
from dragoman.strict import did_you_mean
from dragoman.tasks.base import Task
from scoring.base import Share

# List lengths that the batch sample is cut into: an odd small one and a full batch, so that batches differ in size as
# well as in the other items.
LIST_LENGTHS = (7, 32)
# The fastest of three rounds is seldom disturbed by other processes.
LATENCY_ROUNDS = 3
# Changed items that are there at the same time: a photograph that was written anew may take tens of megabytes.
CHANGED_AT_ONCE = 32


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """The figures of one bundle. None means not asked for by any limit, and for ``p95_ms`` also: all items refused.

    ``baselines`` are what training has scored beside the model; ``agreement`` has, by variation, the share of items
    whose answer it leaves alone.
    """

    outputs: Outputs
    changed_in_batches: float | None
    p95_ms: float | None
    size_mb: float
    baselines: tuple[Score, ...] = ()
    agreement: Mapping[str, Share] = field(default_factory=dict)


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


def variation(task: type[Task], name: str) -> Callable[[Any], Any]:
    """Return a task's change of an input by its name; raises ConfigError naming those that it has."""
    if name not in task.variations:
        known = ", ".join(task.variations) or "none"
        raise ConfigError(
            f"agreement.{name} is no variation of this task's inputs; there are {known}"
            f"{did_you_mean(name, list(task.variations))}"
        )
    module, _, function = task.variations[name].partition(":")
    found: Callable[[Any], Any] = getattr(importlib.import_module(module), function)
    return found


def agreement(
    predictor: Predictor, items: Sequence[Any], outputs: Outputs, change: Callable[[Any], Any], *, sample: int
) -> Share:
    """Answer a sample of the items once more, changed, and compare with the outputs that are known.

    An item that was refused has no answer to keep, and counts as one that was not kept.
    """
    chosen = spread(range(len(items)), sample)
    answered = [row for row in chosen if row not in outputs.refused]
    decide, kept = predictor.task.decision, set[int]()
    for start in range(0, len(answered), CHANGED_AT_ONCE):
        rows = answered[start : start + CHANGED_AT_ONCE]
        again = answer_all(predictor, [change(items[row]) for row in rows])
        kept |= {
            row
            for place, row in enumerate(rows)
            if place not in again.refused and decide(again.plain[place]) == decide(outputs.plain[row])
        }
    return Share([row in kept for row in chosen])


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
