"""Latency of single requests: one input at a time, as a person who waits for an answer feels it."""

import math
import time
from collections.abc import Sequence
from typing import Any

from dragoman.items.outcomes import Result
from dragoman.predictor import Predictor

TAIL = 0.95


def latencies_ms(predictor: Predictor, items: Sequence[Any]) -> list[float]:
    """Measure the milliseconds of each input sent alone, in order; inputs that the model refuses are left out.

    Warm the predictor up first: the first request after loading takes longer than later ones.
    """
    timed: list[float] = []
    for item in items:
        started = time.perf_counter()
        (outcome,) = predictor([item])
        elapsed = time.perf_counter() - started
        if isinstance(outcome, Result):
            timed.append(1000 * elapsed)
    return timed


def p95(values: Sequence[float]) -> float:
    """Return the 95th percentile by nearest rank, so always one of the values; raises ValueError without any."""
    if not values:
        raise ValueError("p95 needs at least one value, got none")
    return sorted(values)[math.ceil(TAIL * len(values)) - 1]
