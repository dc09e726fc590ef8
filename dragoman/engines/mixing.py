"""The widths at which sources share batches, and the self-check that all of them may on this machine.

An answer must not change by a bit with the sources in its batch.
"""

import logging
import math
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from dragoman.errors import ConfigError, DragomanError

# An engine decides at its start which sequences mix:
#
#   self-check passes --> FREE       widths 1 to WIDEST are one class of batches, longer ones classes of COARSE_STEP;
#                                    a batch is at least NARROWEST wide
#   fails, or no time --> BY_WIDTH   a sequence is always computed at one width, its next multiple of FINE_STEP, or of
#                                    COARSE_STEP beyond that; each width is a class of its own
#
# A matrix product adds up its numbers in the order of the kernel that computes it, and a batch is as wide as its
# longest source. Where the kernel's order depends on the width, so do the last bits of attention; rounding to 8 bits
# turns some of them into other scores, and into other tokens where two are close. The choice of the kernel depends on
# the processor, the library, its version and its settings, so only a try on the machine itself tells.
#
# The check computes random sources alone and beside others and compares bit by bit what shows most: tokens, scores and
# attention of a decoder, the last layer of an encoder. Attention shows another order in about every third source; a
# score, behind the rounding, in one of twenty. One difference ends the check. So does the end of its time, and then the
# sources count as not mixable.

log = logging.getLogger(__name__)

MIXING_VARIABLE = "DRAGOMAN_MIXING"
FREE, BY_WIDTH = "free", "by_width"

# The multiples are coarse for long sequences, of which there are few: with finer ones they would not share batches.
FINE_STEP, COARSE_STEP = 16, 64
# oneDNN's AVX-512 kernels sum in one order between these two widths, and MKL's seem to
# (`python -m benchmarks.translation.batch_invariance`).
NARROWEST, WIDEST = 16, 192

SOURCES = 200
# Seconds that a start may take longer; more for a model that is loaded beside one that serves, for which nobody waits,
# and which has a part of the processor only.
BUDGET_S, UNHURRIED_BUDGET_S = 3.0, 20.0
# Padded tokens a batch, in turns: those of the micro-batcher, and those of batches cut when all items are at hand.
BATCH_COSTS = (512, 1_024)
# Most sources are as long as sentences are; one in so many has any length, and makes its batch as wide.
COMMON_LENGTH = 24
ONE_LONG_IN = 16
# The batches of a check in even steps, and the fewest sequences in each: a single one may not show a difference.
EVEN_STEPS, FEWEST_ROWS = 6, 4


@dataclass(frozen=True)
class DecodingKind:
    """A kind of decoding that uses kernels of its own."""

    num_beams: int = 1
    return_scores: bool = True

    @property
    def steps(self) -> int:
        """Return the fewest steps that use all of its kernels: the second one reads the source from every beam."""
        return 1 if self.num_beams == 1 else 2


@dataclass(frozen=True)
class Verdict:
    """The rule by which sources may be mixed, and the reason; a ``certain`` one stays the same on this machine."""

    mixing: str
    reason: str
    certain: bool


_is_unhurried: ContextVar[bool] = ContextVar("is_unhurried", default=False)

# A way of computing that uses kernels of its own, such as a DecodingKind; a check tries all that an engine has.
Kind = TypeVar("Kind")
Compute = Callable[[Sequence[Sequence[int]], Kind], Sequence[object]]


def configured_mixing() -> str:
    """Return ``DRAGOMAN_MIXING``: auto, or a verdict that replaces the check, for measurements and tests.

    Raises ConfigError. With ``free`` forced on a machine where it does not hold, answers depend on their batches.
    """
    value = os.environ.get(MIXING_VARIABLE) or "auto"
    if value not in ("auto", FREE, BY_WIDTH):
        raise ConfigError(f"{MIXING_VARIABLE} must be auto, {FREE} or {BY_WIDTH}, got {value!r}; unset it for auto")
    return value


def padded_width(longest: int, *, any_width: bool) -> int:
    """Return the width at which a batch is computed whose longest sequence has so many tokens."""
    if any_width and longest <= WIDEST:
        return max(longest, NARROWEST)
    step = FINE_STEP if longest <= COARSE_STEP else COARSE_STEP
    return math.ceil(longest / step) * step


def decoding_kinds(max_beams: int) -> list[DecodingKind]:
    """Return the kinds in the shares in which a check tries them; most are greedy, as most requests are."""
    greedy = [DecodingKind(), DecodingKind(return_scores=False), DecodingKind()]
    return [*greedy, DecodingKind(num_beams=max_beams)] if max_beams > 1 else greedy


def random_batches(*, widest: int, first_id: int, end_id: int, vocabulary: int) -> list[list[list[int]]]:
    """Return the sources of a check in batches, with random ids and lengths from 1 to ``widest``."""
    chooser = random.Random(0)  # noqa: S311
    batches: list[list[list[int]]] = [[]]
    width = 0
    for place in range(SOURCES):
        length = chooser.randint(1, widest if place % ONE_LONG_IN == 0 else min(widest, COMMON_LENGTH))
        source = [*(chooser.randrange(first_id, vocabulary) for _ in range(length - 1)), end_id]
        width = max(width, length)
        # A source alone in its batch would show nothing.
        most = BATCH_COSTS[(len(batches) - 1) % len(BATCH_COSTS)]
        if len(batches[-1]) > 1 and width * (len(batches[-1]) + 1) > most:
            batches.append([])
            width = length
        batches[-1].append(source)
    return batches


def even_batches(*, widest: int, vocabulary: int, costs: Sequence[int] = BATCH_COSTS) -> list[list[list[int]]]:
    """Return the sequences of a check, with random ids, in batches whose widths go down from ``widest`` in even steps.

    They are for outputs of which almost all show another order of summing, so there are few of them. Few random widths
    may all lie below the one at which a kernel begins to sum in another order.
    """
    chooser = random.Random(0)  # noqa: S311
    batches: list[list[list[int]]] = []
    for step in range(EVEN_STEPS):
        # Less one more at each step, so that the widths have no factor in common.
        width = max(1, widest * (EVEN_STEPS - step) // EVEN_STEPS - step)
        rows = max(FEWEST_ROWS, costs[step % len(costs)] // width)
        lengths = [width, *(chooser.randint(1, width) for _ in range(rows - 1))]
        batches.append([[chooser.randrange(vocabulary) for _ in range(length)] for length in lengths])
    return batches


@contextmanager
def unhurried() -> Iterator[None]:
    """Give the checks of the block a longer budget and one thread, because others are being served meanwhile."""
    before = _is_unhurried.set(True)
    try:
        yield
    finally:
        _is_unhurried.reset(before)


def budget_s() -> float:
    """Return the seconds that a check which begins here may take."""
    return UNHURRIED_BUDGET_S if _is_unhurried.get() else BUDGET_S


def check_mixing(
    compute: Compute[Kind], batches: Sequence[Sequence[Sequence[int]]], kinds: Sequence[Kind], *, threads: int
) -> Verdict:
    """Check that ``compute`` gives each source the same outputs alone and in its batch, with ``threads`` at a time."""
    started = time.monotonic()
    deadline, has_failed = started + budget_s(), False

    def count_differences(batch: Sequence[Sequence[int]], kind: Kind) -> int | None:
        """Count the sources of a batch whose outputs differ from those alone; None when the check is over."""
        nonlocal has_failed
        alone: list[object] = []
        for source in batch:
            if has_failed or time.monotonic() >= deadline:
                return None
            alone += compute([source], kind)
        count = sum(ours != theirs for ours, theirs in zip(alone, compute(batch, kind), strict=True))
        has_failed = has_failed or count > 0
        return count

    try:
        with ThreadPoolExecutor(1 if _is_unhurried.get() else threads, thread_name_prefix="self-check") as pool:
            turns = (kinds[place % len(kinds)] for place in range(len(batches)))
            found = list(pool.map(count_differences, batches, turns))
    except Exception as error:
        # An engine has to start whatever went wrong (too little memory, say): it may work all the same.
        if not isinstance(error, DragomanError):
            log.exception("the self-check of mixing failed")
        return Verdict(BY_WIDTH, f"failed: {str(error) or type(error).__name__}", certain=False)
    all_sources = sum(map(len, batches))
    compared = sum(len(batch) for batch, count in zip(batches, found, strict=True) if count is not None)
    different = sum(count or 0 for count in found)
    seconds = f"{time.monotonic() - started:.1f} s"
    if different:
        return Verdict(BY_WIDTH, f"failed: {different} of {compared} differ in a batch, after {seconds}", certain=True)
    if compared < all_sources:
        return Verdict(BY_WIDTH, f"out of time: {compared} of {all_sources} compared in {seconds}", certain=False)
    return Verdict(FREE, f"passed: {compared} of {all_sources} are the same in a batch, in {seconds}", certain=True)
