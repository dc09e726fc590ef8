"""A self-check: may sources of unequal lengths share a batch on this machine without a change of any bit?

A matrix product adds up its numbers in the order of the kernel that computes it, and a batch is as wide as its longest
source. Where the kernel's order depends on the width, the last bits of attention do; rounding to 8 bits turns some of
them into other scores, and into other tokens where two are close. Which kernel it is depends on the processor, the
library, its version and its settings, so nothing less than a try on the machine itself says how it adds.

The check computes random sources alone and beside others and compares tokens, scores and attention bit by bit. The
attention shows another order in about every third source; a score, behind the rounding, in one of twenty. One
difference ends the check. So does the end of its time, and what has not been seen then counts as if it did not hold.
"""

import logging
import os
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from dragoman.errors import ConfigError, DragomanError

log = logging.getLogger(__name__)

MIXING_VARIABLE = "DRAGOMAN_MIXING"
FREE, BY_WIDTH = "free", "by_width"

SOURCES = 200
BUDGET_S = 3.0
# Padded tokens a batch, as servers cut them.
BATCH_COST = 512
# Most sources are as long as sentences are; one in so many has any length, and makes its batch as wide.
COMMON_LENGTH = 24
ONE_LONG_IN = 16


@dataclass(frozen=True)
class Kind:
    """A kind of decoding."""

    num_beams: int = 1
    return_scores: bool = True

    @property
    def steps(self) -> int:
        """The fewest steps that show all of its kernels: the second one reads the source from every beam."""
        return 1 if self.num_beams == 1 else 2


@dataclass(frozen=True)
class Verdict:
    """How sources may be mixed, and why; a ``certain`` one will be the same whenever it is asked for here."""

    mixing: str
    reason: str
    certain: bool


Compute = Callable[[Sequence[Sequence[int]], Kind], Sequence[object]]


def configured_mixing() -> str:
    """Return ``DRAGOMAN_MIXING``: auto, or a verdict that stands without a check, for measurements and tests.

    Raises ConfigError. With ``free`` forced on a machine where it does not hold, answers depend on their company.
    """
    value = os.environ.get(MIXING_VARIABLE) or "auto"
    if value not in ("auto", FREE, BY_WIDTH):
        raise ConfigError(f"{MIXING_VARIABLE} must be auto, {FREE} or {BY_WIDTH}, got {value!r}; unset it for auto")
    return value


def kinds_of_decoding(max_beams: int) -> list[Kind]:
    """Return the kinds in the shares in which a check tries them: greedy decoding is what most requests ask for."""
    greedy = [Kind(), Kind(return_scores=False), Kind()]
    return [*greedy, Kind(num_beams=max_beams)] if max_beams > 1 else greedy


def random_batches(*, widest: int, first_id: int, end_id: int, vocabulary: int) -> list[list[list[int]]]:
    """Return the sources of a check in the batches that they share: random ids, and lengths from 1 to ``widest``."""
    chooser = random.Random(0)  # noqa: S311
    batches: list[list[list[int]]] = [[]]
    width = 0
    for place in range(SOURCES):
        length = chooser.randint(1, widest if place % ONE_LONG_IN == 0 else min(widest, COMMON_LENGTH))
        source = [*(chooser.randrange(first_id, vocabulary) for _ in range(length - 1)), end_id]
        width = max(width, length)
        # A source alone in its batch would show nothing.
        if len(batches[-1]) > 1 and width * (len(batches[-1]) + 1) > BATCH_COST:
            batches.append([])
            width = length
        batches[-1].append(source)
    return batches


def check_mixing(
    compute: Compute, batches: Sequence[Sequence[Sequence[int]]], kinds: Sequence[Kind], *, threads: int
) -> Verdict:
    """Return whether ``compute`` gives each source the same alone and in its batch, with several threads at a time."""
    started = time.monotonic()
    comparison = _Comparison(compute, deadline=started + BUDGET_S)
    try:
        with ThreadPoolExecutor(threads, thread_name_prefix="self-check") as pool:
            turns = (kinds[place % len(kinds)] for place in range(len(batches)))
            found = list(pool.map(comparison.differences, batches, turns))
    except Exception as error:
        # Whatever it is (too little memory, say), an engine that may work has to start.
        if not isinstance(error, DragomanError):
            log.exception("the self-check of mixing failed")
        return Verdict(BY_WIDTH, f"failed: {str(error) or type(error).__name__}", certain=False)
    compared = sum(len(batch) for batch, count in zip(batches, found, strict=True) if count is not None)
    different = sum(count or 0 for count in found)
    seconds = f"{time.monotonic() - started:.1f} s"
    if different:
        return Verdict(BY_WIDTH, f"failed: {different} of {compared} differ in company, after {seconds}", certain=True)
    if compared < (all_sources := sum(map(len, batches))):
        return Verdict(BY_WIDTH, f"out of time: {compared} of {all_sources} compared in {seconds}", certain=False)
    return Verdict(FREE, f"passed: {compared} of {all_sources} the same in company, in {seconds}", certain=True)


class _Comparison:
    """Comparisons of batches until one differs or the time is over."""

    def __init__(self, compute: Compute, *, deadline: float) -> None:
        self._compute = compute
        self._deadline = deadline
        self._failed = False

    def differences(self, batch: Sequence[Sequence[int]], kind: Kind) -> int | None:
        """Return how many sources of a batch come out otherwise than alone, None where there is no need to know."""
        alone: list[object] = []
        for source in batch:
            if self._failed or time.monotonic() >= self._deadline:
                return None
            alone += self._compute([source], kind)
        together = self._compute(batch, kind)
        count = sum(ours != theirs for ours, theirs in zip(alone, together, strict=True))
        self._failed = self._failed or count > 0
        return count
