"""How long the event loop stands still while a request is accepted, and while one whose client left is forgotten.

python -m benchmarks.serving.event_loop_pauses

A callback that runs between all others measures the longest pause; every other client waits so long at least. Batches
are held meanwhile, so that what is measured is the batcher's own work.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from dragoman.batching.batcher import MicroBatcher
from dragoman.errors import run_cli
from dragoman.items.outcomes import Failure, OnOutcome, Result
from dragoman.items.sizes import Capacity, Size

ITEMS = (100, 100_000)
GOAL_MS = 20.0
# Enough turns of the loop for all that a batcher puts off; requests of all sizes are watched for as many.
TURNS_PER_ITEM = 0.1
WIDTHS = 40
Clock = Callable[[], float]


@dataclass(frozen=True)
class Sentence:
    """An item that hashes and compares as tasks' items do."""

    ids: tuple[int, ...]
    options: str = "greedy"


@dataclass(frozen=True, kw_only=True)
class Pauses:
    """The longest pauses of the loop in one round, in milliseconds."""

    accept_ms: float
    leave_ms: float


class Probe:
    """A callback that runs once in every turn of the loop and notes the longest time between two of its runs."""

    def __init__(self, clock: Clock) -> None:
        self.turns = 0
        self._clock = clock
        self._longest_s = 0.0
        self._before = clock()

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            now = self._clock()
            self._longest_s = max(self._longest_s, now - self._before)
            self._before = now
            self.turns += 1
            await asyncio.sleep(0)

    def longest_ms(self) -> float:
        """Return the longest pause since the last call."""
        longest_s, self._longest_s = self._longest_s, 0.0
        return 1_000 * longest_s

    async def turn(self, count: int) -> None:
        """Wait for so many turns of the loop."""
        last = self.turns + count
        while self.turns < last:
            await asyncio.sleep(0)


def sentences(count: int) -> list[Sentence]:
    """Return distinct sentences of many widths."""
    return [Sentence((number // 250, *range(3 + number % WIDTHS), number % 250)) for number in range(count)]


async def measure(items: Sequence[Sentence], *, turns: int, clock: Clock) -> Pauses:
    """Ask for ``items`` at once, and leave ``turns`` of the loop later."""
    may_go = threading.Event()

    def held(items: Sequence[Sentence], *, on_outcome: OnOutcome) -> list[Result | Failure]:
        may_go.wait()
        return [Result(None)] * len(items)

    batcher = MicroBatcher(
        held,
        batch_key=lambda item: item.options,
        size=lambda item: Size(len(item.ids)),
        capacity=Capacity(parallel_batches=2),
    )
    probe = Probe(clock)
    probing = asyncio.create_task(probe.run())
    await probe.turn(20)
    probe.longest_ms()
    request = asyncio.create_task(batcher.submit(items))
    await probe.turn(turns)
    accept_ms = probe.longest_ms()
    request.cancel()
    await probe.turn(turns)
    leave_ms = probe.longest_ms()
    probing.cancel()
    may_go.set()
    await batcher.close()
    return Pauses(accept_ms=accept_ms, leave_ms=leave_ms)


@contextlib.contextmanager
def settled_memory() -> Iterator[None]:
    """Keep what exists already out of garbage collections, as a server does once its model is loaded."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def rounds_of(count: int, rounds: int, *, clock: Clock = time.perf_counter) -> list[Pauses]:
    """Measure several times, each time with a loop and a batcher of its own."""
    items = sentences(count)
    turns = 20 + int(TURNS_PER_ITEM * max(ITEMS))
    with settled_memory():
        return [asyncio.run(measure(items, turns=turns, clock=clock)) for _ in range(rounds)]


def summary(found: Sequence[Pauses]) -> dict[str, float]:
    """Return the median and the worst of all rounds."""
    figures = {name: [asdict(pauses)[name] for pauses in found] for name in ("accept_ms", "leave_ms")}
    medians = {name: round(statistics.median(values), 2) for name, values in figures.items()}
    return medians | {f"worst_{name}": round(max(values), 2) for name, values in figures.items()}


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table("items", "accepting, ms (worst)", "leaving, ms (worst)")
    for row in rows:
        pairs = [f"{row[name]:.2f} ({row['worst_' + name]:.2f})" for name in ("accept_ms", "leave_ms")]
        table.add_row(f"{row['items']:,}", *pairs)
    return table


def main() -> int:
    """Measure, print a table on standard error and a line of JSON; 1 when a pause is over the goal."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.event_loop_pauses", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each size (default: %(default)s)")
    options = parser.parse_args()
    rows = [{"items": count, **summary(rounds_of(count, options.rounds))} for count in ITEMS]
    Console(file=sys.stderr).print(_table(rows))
    longest = max(row[name] for row in rows for name in ("accept_ms", "leave_ms"))
    print(json.dumps({"rounds": options.rounds, "goal_ms": GOAL_MS, "pauses": rows}))
    if longest > GOAL_MS:
        print(f"the loop stood still for {longest:.1f} ms; at most {GOAL_MS:.0f} are wanted", file=sys.stderr)
    return 1 if longest > GOAL_MS else 0


if __name__ == "__main__":
    run_cli(main)
