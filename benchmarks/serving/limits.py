"""Throughput and latency of engines without a server, which no server over them can pass; a task names the engines.

All items at once give the throughput, one at a time the latency. Our own core is called as the servers call it.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.serving.comparison import CORE
from benchmarks.serving.load_figures import percentile
from benchmarks.serving.workloads import Item
from dragoman.predictor import answer_all, load
from scoring.held_out import read_held_out

CORES = os.cpu_count() or 1
# Items that a library without batching of its own computes together.
BATCH = 32

Answer = Callable[[Sequence[Any]], list[Any]]


class Measurement:
    """The items that every limit is measured with; ``count`` is an output's size in tokens."""

    def __init__(
        self, bundle_dir: Path, items: Sequence[Item], *, alone: int, count: Callable[[Any], int] | None = None
    ) -> None:
        self.bundle_dir = str(bundle_dir)
        self._items, self._alone, self._count = items, alone, count

    def measure(self, name: str, settings: str, together: Answer, alone: Answer | None = None) -> dict[str, Any]:
        """Warm up, answer all items together, then the first ones alone; gives figures and outputs."""
        together(self._items[:8])
        seconds, outputs = _timed(together, self._items)
        latencies = [1000 * _timed(alone or together, [item])[0] for item in self._items[: self._alone]]
        tokens = None if self._count is None else round(sum(map(self._count, outputs)) / seconds, 1)
        return {
            "name": name,
            "settings": settings,
            "requests_per_s": round(len(outputs) / seconds, 2),
            "target_tokens_per_s": tokens,
            "p50_ms": percentile(latencies, 50),
            "p99_ms": percentile(latencies, 99),
            "outputs": outputs,
        }


def _timed(answer: Answer, items: Sequence[Item]) -> tuple[float, list[Any]]:
    started = time.perf_counter()
    outputs = answer(items)
    return time.perf_counter() - started, outputs


def in_batches(answer: Answer, *, at_once: int = 1) -> Answer:
    """Return a function that answers any number of items in batches of similar length, ``at_once`` in parallel."""

    def answer_batches(items: Sequence[Any]) -> list[Any]:
        order = sorted(range(len(items)), key=lambda index: len(items[index]))
        batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        found: dict[int, Any] = {}
        with ThreadPoolExecutor(at_once) as threads:
            answered = threads.map(lambda batch: answer([items[index] for index in batch]), batches)
            for batch, outputs in zip(batches, answered, strict=True):
                found.update(zip(batch, outputs, strict=True))
        return [found[index] for index in range(len(items))]

    return answer_batches


def our_core(measurement: Measurement) -> dict[str, Any]:
    """Measure the predictor that both our servers hold, with what comes before the engine."""
    predictor = load(measurement.bundle_dir, device="cpu")
    try:
        return measurement.measure(CORE, "as it ships", lambda items: list(answer_all(predictor, items).plain))
    finally:
        predictor.close()


def print_limits(
    limits: Sequence[Callable[[Measurement], dict[str, Any]]],
    parser: argparse.ArgumentParser,
    counter: Callable[[Path], Callable[[Any], int] | None] = lambda bundle_dir: None,
) -> None:
    """Measure every limit and print them as JSON."""
    parser.add_argument("--bundle", required=True, type=Path)
    parser.add_argument("--items", required=True, type=Path, help="a held-out set, as training writes it")
    parser.add_argument("--limit", type=int, default=1_000, help="how many of its items (default: %(default)s)")
    parser.add_argument("--alone", type=int, default=60, help="how many one at a time (default: %(default)s)")
    options = parser.parse_args()
    items = [item.input for item in read_held_out(options.items)][: options.limit]
    measurement = Measurement(options.bundle, items, alone=options.alone, count=counter(options.bundle))
    print(json.dumps([measure(measurement) for measure in (our_core, *limits)]))
