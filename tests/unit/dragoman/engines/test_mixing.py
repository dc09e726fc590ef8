"""The self-check of mixing, over computations whose order of summing is known."""

import re
import threading
import time
from collections.abc import Sequence

import pytest

from dragoman.engines import mixing
from dragoman.engines.mixing import (
    DecodingKind,
    check_mixing,
    configured_mixing,
    decoding_kinds,
    even_batches,
    random_batches,
)
from dragoman.errors import ConfigError, InferenceError

BATCHES = random_batches(widest=192, first_id=3, end_id=1, vocabulary=5_000)
KINDS = decoding_kinds(4)


def exact(sources: Sequence[Sequence[int]], kind: DecodingKind) -> list[object]:
    return [(sum(source), kind) for source in sources]


def by_the_width(sources: Sequence[Sequence[int]], kind: DecodingKind) -> list[object]:
    """Depend on the width of the batch, as kernels do that sum in vectors of eight."""
    width = max(map(len, sources))
    return [(sum(source), width % 8 == 0) for source in sources]


def test_where_company_changes_nothing_all_widths_mix():
    verdict = check_mixing(exact, BATCHES, KINDS, threads=2)
    assert (verdict.mixing, verdict.certain) == ("free", True)
    assert verdict.reason.startswith("passed: 200 of 200")


def test_where_the_width_of_a_batch_shows_they_do_not():
    verdict = check_mixing(by_the_width, BATCHES, KINDS, threads=2)
    assert (verdict.mixing, verdict.certain) == ("by_width", True)
    assert verdict.reason.startswith("failed: ")


@pytest.mark.parametrize("odd", KINDS)
def test_every_kind_of_decoding_has_to_pass(odd):
    def compute(sources, kind):
        return by_the_width(sources, kind) if kind == odd else exact(sources, kind)

    assert check_mixing(compute, BATCHES, KINDS, threads=2).mixing == "by_width"


def test_a_difference_ends_the_check():
    calls = []

    def compute(sources, kind):
        calls.append(len(sources))
        return by_the_width(sources, kind)

    check_mixing(compute, BATCHES, KINDS, threads=1)
    assert sum(calls) < 100


def test_what_there_was_no_time_for_counts_as_if_it_differed(monkeypatch):
    clock = iter(range(1_000))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(mixing, "BUDGET_S", 100.0)
    verdict = check_mixing(exact, BATCHES, KINDS, threads=1)
    assert (verdict.mixing, verdict.certain) == ("by_width", False)
    assert re.match(r"out of time: [5-9]\d of 200 compared", verdict.reason)


def test_a_check_beside_a_model_that_serves_takes_its_time_on_one_thread(monkeypatch):
    clock, threads = iter(range(1_000)), set()

    def compute(sources, kind):
        threads.add(threading.get_ident())
        return exact(sources, kind)

    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(mixing, "UNHURRIED_BUDGET_S", 900.0)
    with mixing.unhurried():
        assert check_mixing(compute, BATCHES, KINDS, threads=4).mixing == "free"
    assert len(threads) == 1
    assert check_mixing(compute, BATCHES, KINDS, threads=4).reason.startswith("out of time")


@pytest.mark.parametrize(("error", "reason"), [
    (InferenceError("no memory"), "failed: no memory"), (MemoryError(), "failed: MemoryError"),
])  # fmt: skip
def test_an_engine_that_fails_takes_the_safe_path_and_starts(error, reason):
    def compute(sources, kind):
        raise error

    verdict = check_mixing(compute, BATCHES, KINDS, threads=2)
    assert (verdict.mixing, verdict.reason, verdict.certain) == ("by_width", reason, False)


def test_all_workers_take_part():
    meeting = threading.Barrier(3, timeout=10)
    mine = threading.local()

    def compute(sources, kind):
        if not hasattr(mine, "met"):
            # Passes when three threads have come.
            meeting.wait()
            mine.met = True
        return exact(sources, kind)

    assert check_mixing(compute, BATCHES[:9], KINDS, threads=3).mixing == "free"


def test_the_sources_are_of_all_lengths_in_batches_as_servers_cut_them():
    sources = [source for batch in BATCHES for source in batch]
    lengths = {len(source) for source in sources}
    assert len(sources) == 200
    assert min(lengths) == 1
    assert max(lengths) > 150
    assert lengths >= set(range(1, 25))
    costs = [len(batch) * max(map(len, batch)) for batch in BATCHES]
    for place, (batch, cost) in enumerate(zip(BATCHES, costs, strict=True)):
        assert len(batch) > 1
        # Those of the micro-batcher, and of TorchServe and files, which hold twice as much.
        assert len(batch) == 2 or cost <= (512, 1_024)[place % 2]
    assert max(costs) > 900
    assert {source[-1] for source in sources} == {1}
    assert all(3 <= token < 5_000 for source in sources for token in source[:-1])
    assert random_batches(widest=192, first_id=3, end_id=1, vocabulary=5_000) == BATCHES
    narrow = random_batches(widest=10, first_id=3, end_id=1, vocabulary=5_000)
    assert max(len(source) for batch in narrow for source in batch) == 10


@pytest.mark.parametrize("vocabulary", [100, 8_000, 30_522])
@pytest.mark.parametrize("begins", [20, 64, 113, 161, 192])
def test_in_even_steps_another_order_shows_at_whatever_width_it_begins(begins: int, vocabulary: int) -> None:
    def from_a_width(sequences: Sequence[Sequence[int]], _: None) -> list[object]:
        is_wide = max(map(len, sequences)) >= begins
        return [(sum(sequence), is_wide) for sequence in sequences]

    batches = even_batches(widest=192, vocabulary=vocabulary)
    assert check_mixing(from_a_width, batches, (None,), threads=1).mixing == "by_width"


@pytest.mark.parametrize("widest", [3, 48, 192])
def test_batches_in_even_steps_reach_the_widest_and_are_never_of_one_sequence(widest: int) -> None:
    batches = even_batches(widest=widest, vocabulary=100, costs=(512, 512, 1_024))
    widths = [max(map(len, batch)) for batch in batches]
    assert widths[0] == widest
    assert widths == sorted(widths, reverse=True)
    assert min(map(len, batches)) >= 4
    assert all(len(sequence) >= 1 and max(sequence) < 100 for batch in batches for sequence in batch)
    assert sum(len(batch) * width for batch, width in zip(batches, widths, strict=True)) < 5_000
    assert batches == even_batches(widest=widest, vocabulary=100, costs=(512, 512, 1_024))


def test_greedy_decoding_is_the_only_kind_where_there_are_no_beams():
    assert {kind.num_beams for kind in decoding_kinds(1)} == {1}
    assert {(kind.num_beams, kind.return_scores) for kind in decoding_kinds(8)} == {(1, True), (1, False), (8, True)}


def test_mixing_can_be_forced_for_measurements(monkeypatch):
    monkeypatch.delenv("DRAGOMAN_MIXING", raising=False)
    assert configured_mixing() == "auto"
    monkeypatch.setenv("DRAGOMAN_MIXING", "by_width")
    assert configured_mixing() == "by_width"
    monkeypatch.setenv("DRAGOMAN_MIXING", "always")
    with pytest.raises(ConfigError, match="DRAGOMAN_MIXING must be auto, free or by_width, got 'always'"):
        configured_mixing()
