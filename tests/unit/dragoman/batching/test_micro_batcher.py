import asyncio
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.batching.queue import BatchQueue, WaitingItem
from dragoman.errors import UnavailableError
from dragoman.items.outcomes import Failure, OnOutcome, Result
from tests.batcher_scenes import HeldEngine, Notes, Sentence, all_asked, asked, batcher_of, occupied, play, played


@played
async def test_a_request_gets_one_outcome_per_item_in_its_order():
    batcher = batcher_of(HeldEngine(held=False).run)
    items = [Sentence(name, length) for name, length in (("c", 30), ("a", 3), ("b", 12), ("a", 3))]
    assert await batcher.submit(items) == [Result("C"), Result("A"), Result("B"), Result("A")]
    assert await batcher.submit([]) == []
    await batcher.close()


@played
async def test_what_waits_together_is_computed_together_nearest_in_length_within_the_budget():
    engine, batcher, _ = await occupied()
    lengths = {"seed": 20, "a": 21, "b": 19, "c": 26, "d": 22, "e": 12}
    requests = []
    for name, length in lengths.items():
        requests.append(asked(batcher, name, length=length))
        await all_asked()
    engine.let_go()
    await asyncio.gather(*requests)
    # Four rows of 22 tokens are padded to 88; a fifth row would be beyond 100.
    assert sorted(engine.batches[1]) == ["a", "b", "d", "seed"]
    assert sorted(engine.batches[2]) == ["c", "e"]


@played
async def test_items_of_other_options_are_in_other_batches():
    engine, batcher, _ = await occupied()
    requests = [asked(batcher, f"{kind}{n}", options=kind) for n in range(3) for kind in ("beams", "greedy")]
    await all_asked()
    engine.let_go()
    await asyncio.gather(*requests)
    assert [sorted(batch) for batch in engine.batches[1:]] == [
        ["beams0", "beams1", "beams2"],
        ["greedy0", "greedy1", "greedy2"],
    ]


@played
async def test_a_much_longer_item_is_padded_to_by_nobody_and_makes_nobody_wait():
    engine, batcher, _ = await occupied(batch_cost=1_000)
    lengths = {"short": 6, "shorter": 4, "middle": 20, "long": 40, "longer": 60}
    requests = [asked(batcher, name, length=length) for name, length in lengths.items()]
    await all_asked()
    engine.let_go()
    await asyncio.gather(*requests)
    assert [sorted(batch) for batch in engine.batches[1:]] == [["middle", "short", "shorter"], ["long", "longer"]]


@played
async def test_an_item_of_four_rows_counts_four_times():
    engine, batcher, _ = await occupied()
    requests = [asked(batcher, f"beams{n}", options="beams", rows=4) for n in range(4)]
    await all_asked()
    engine.let_go()
    await asyncio.gather(*requests)
    # Two sentences of 10 tokens and 4 rows are 80; a third would be beyond 100.
    assert [len(batch) for batch in engine.batches[1:]] == [2, 2]


@played
async def test_an_item_longer_than_the_budget_is_computed_alone():
    engine = HeldEngine(held=False)
    batcher = batcher_of(engine.run)
    assert await asked(batcher, "a", "b", length=150) == [Result("A"), Result("B")]
    assert engine.batches == [["a"], ["b"]]


@played
async def test_a_document_begins_among_single_sentences_and_lets_later_ones_pass():
    engine, batcher, _ = await occupied(batch_cost=40)
    document = asked(batcher, *(f"d{n}" for n in range(12)))
    await all_asked()
    singles = [asked(batcher, f"single{n}") for n in range(4)]
    await all_asked()
    engine.let_go()
    await asyncio.gather(document, *singles)
    places = [next(n for n, batch in enumerate(engine.batches) if name in batch) for name in ("d0", "single3", "d11")]
    assert places == sorted(set(places))


@played
async def test_what_came_first_is_in_the_next_batch_however_many_come_after_it():
    engine, batcher, _ = await occupied(batch_cost=40)
    odd = asked(batcher, "odd", options="beams", length=40)
    await all_asked()
    others = [asked(batcher, f"other{n}") for n in range(20)]
    await all_asked()
    engine.let_go()
    await asyncio.gather(odd, *others)
    assert engine.batches[1] == ["odd"]


@played
async def test_idle_workers_share_what_waits():
    engine = HeldEngine()
    batcher = batcher_of(engine.run, parallel_batches=3)
    request = asked(batcher, *"abcdef")
    await engine.has_begun(3)
    assert [len(batch) for batch in engine.batches] == [2, 2, 2]
    engine.let_go()
    assert len(await request) == 6


@played
async def test_a_document_leaves_one_worker_to_the_sentences_that_come():
    engine = HeldEngine()
    batcher = batcher_of(engine.run, parallel_batches=2)
    first = asked(batcher, "short")
    await engine.has_begun(1)
    engine.let_go(1)
    await first
    document = asked(batcher, *(f"d{n}" for n in range(24)))
    await engine.has_begun(2)
    await all_asked()
    assert len(engine.batches) == 2
    short = asked(batcher, "another")
    await engine.has_begun(3)
    assert engine.batches[2] == ["another"]
    engine.let_go()
    await asyncio.gather(document, short)


@played
async def test_a_document_alone_has_all_workers():
    engine = HeldEngine()
    batcher = batcher_of(engine.run, parallel_batches=2)
    document = asked(batcher, *(f"d{n}" for n in range(24)))
    await engine.has_begun(2)
    engine.let_go()
    await document


@played
async def test_the_worker_kept_free_goes_to_documents_again_when_no_more_sentences_come(monkeypatch):
    monkeypatch.setattr("dragoman.batching.workers.KEEP_FREE_S", 0.05)
    engine = HeldEngine()
    batcher = batcher_of(engine.run, parallel_batches=2)
    short = asked(batcher, "short")
    document = asked(batcher, *(f"d{n}" for n in range(24)))
    await engine.has_begun(2)
    engine.let_go(2)
    await engine.has_begun(4)
    engine.let_go()
    await asyncio.gather(short, document)


@played
async def test_a_sentence_of_a_document_that_somebody_waits_for_alone_is_computed_as_a_short_one():
    engine, batcher, _ = await occupied(parallel_batches=2)
    document = asked(batcher, *(f"d{n}" for n in range(24)))
    await all_asked()
    alone = asked(batcher, "d23")
    await all_asked()
    engine.let_go(1)
    await engine.has_begun(3)
    assert "d23" not in engine.batches[2]
    engine.let_go(1)
    await engine.has_begun(4)
    assert engine.batches[3] == ["d23"]
    engine.let_go()
    assert await alone == [Result("D23")]
    assert len(await document) == 24


@played
async def test_workers_that_are_busy_in_turn_keep_about_the_same_to_do():
    engine, batcher, _ = await occupied(parallel_batches=2, batch_cost=1_000)
    requests = [asked(batcher, str(n)) for n in range(20)]
    await all_asked()
    engine.let_go(1)
    await engine.has_begun(3)
    engine.let_go(1)
    await engine.has_begun(4)
    engine.let_go()
    await asyncio.gather(*requests)
    assert [len(batch) for batch in engine.batches] == [1, 1, 11, 9]


@played
async def test_an_item_is_answered_when_its_outcome_is_known_and_once():
    engine, batcher, _ = await occupied()
    early, late = asked(batcher, "early"), asked(batcher, "late")
    await all_asked()
    engine.let_go(1)
    assert await early == [Result("EARLY")]
    assert not late.done()
    # Its batch goes on, and the same sentence is new work.
    again = asked(batcher, "early")
    engine.let_go()
    assert await asyncio.gather(late, again) == [[Result("LATE")], [Result("EARLY")]]
    assert [sorted(batch) for batch in engine.batches[1:]] == [["early", "late"], ["early"]]


@played
async def test_equal_items_are_computed_once_and_everyone_gets_the_result():
    engine, batcher, _ = await occupied()
    waiting = [asked(batcher, "same", "other"), asked(batcher, "same")]
    await all_asked()
    engine.let_go(1)
    await engine.has_begun(2)
    running = asked(batcher, "same")
    different = asked(batcher, "same", options="beams")
    await all_asked()
    engine.let_go()
    same, other = Result("SAME"), Result("OTHER")
    assert await asyncio.gather(*waiting, running) == [[same, other], [same], [same]]
    await different
    assert [sorted(batch) for batch in engine.batches[1:]] == [["other", "same"], ["same"]]


@played
async def test_what_is_cancelled_is_not_computed_unless_somebody_else_waits_for_it():
    engine, batcher, notes = await occupied()
    gone = asked(batcher, "gone", "shared")
    stays = asked(batcher, "shared")
    await all_asked()
    assert notes.queue == (2, 20)
    gone.cancel()
    await all_asked()
    assert notes.queue == (1, 10)
    engine.let_go()
    assert await stays == [Result("SHARED")]
    assert engine.batches[1:] == [["shared"]]
    assert gone.cancelled()


@played
async def test_a_request_cancelled_while_it_is_computed_harms_no_other():
    engine, batcher, _ = await occupied()
    requests = [asked(batcher, name) for name in "abc"]
    await all_asked()
    engine.let_go(1)
    await engine.has_begun(2)
    requests[1].cancel()
    await all_asked()
    engine.let_go()
    assert await asyncio.gather(requests[0], requests[2]) == [[Result("A")], [Result("C")]]
    assert await asked(batcher, "b") == [Result("B")]


@played
async def test_what_comes_up_after_its_deadline_is_refused_and_not_computed():
    engine, batcher, _ = await occupied()
    now = asyncio.get_running_loop().time()
    late = asked(batcher, "late", "wanted", deadline=now)
    other = asked(batcher, "wanted", "in time", deadline=now + 60)
    await all_asked()
    engine.let_go()
    (refused, shared) = await late
    assert (refused.error.code, refused.error.status) == ("deadline_exceeded", 504)
    assert shared == Result("WANTED")
    assert await other == [Result("WANTED"), Result("IN TIME")]
    assert [sorted(batch) for batch in engine.batches[1:]] == [["in time", "wanted"]]


@pytest.mark.parametrize("limits", [{"max_waiting_items": 4}, {"max_waiting_cost": 40}])
@played
async def test_a_request_is_accepted_as_a_whole_or_refused_with_what_waits_and_the_limit(limits):
    engine, batcher, notes = await occupied(**limits)
    accepted = asked(batcher, "a", "b", "c")
    await all_asked()
    message = r"short requests: 3 items of cost 30 are waiting and the limits are .*\b4"
    with pytest.raises(UnavailableError, match=message) as refused:
        await asked(batcher, "d", "e")
    assert (refused.value.code, refused.value.status) == ("overloaded", 503)
    assert notes.queue == (3, 30)
    # What is to be computed anyway takes no room.
    more = [asked(batcher, "a", "b", "c"), asked(batcher, "d")]
    await all_asked()
    assert notes.queue == (4, 40)
    with pytest.raises(UnavailableError):
        await asked(batcher, "d", "e")
    engine.let_go()
    await asyncio.gather(accepted, *more)
    assert await asked(batcher, "d", "e") == [Result("D"), Result("E")]


@played
async def test_an_empty_queue_takes_a_request_of_any_size():
    engine, batcher, _ = await occupied(max_waiting_items=4)
    large = asked(batcher, *map(str, range(50)))
    await all_asked()
    engine.let_go()
    assert len(await large) == 50


@pytest.mark.parametrize(
    "fails", [lambda items, **_: 1 / 0, lambda items, **_: [Result("one too few")] * (len(items) - 1)]
)
@played
async def test_a_batch_that_breaks_fails_its_own_items_and_no_others(fails, caplog):
    engine = HeldEngine(held=False)
    batcher = batcher_of(lambda items, **early: (fails if items[0].options == "broken" else engine.run)(items, **early))
    broken, fine = asked(batcher, "a", "b", options="broken"), asked(batcher, "c")
    assert [outcome.error.code for outcome in await broken] == ["internal_error"] * 2
    assert await fine == [Result("C")]
    assert await asked(batcher, "d") == [Result("D")]
    assert "failed: it raised, or gave another number of outcomes" in caplog.text


@played
async def test_closing_answers_what_was_accepted_and_refuses_what_comes():
    engine, batcher, _ = await occupied(parallel_batches=2)
    accepted = [asked(batcher, *(f"{n}.{m}" for m in range(20))) for n in range(3)]
    await all_asked()
    closing = asyncio.ensure_future(batcher.close())
    await all_asked()
    with pytest.raises(UnavailableError) as refused:
        await asked(batcher, "late")
    assert refused.value.status == 503
    engine.let_go()
    await closing
    assert [len(request.result()) for request in accepted] == [20, 20, 20]


def waiting_item(length: int, rank: float, key: str = "greedy", kind: type[WaitingItem] = WaitingItem) -> WaitingItem:
    return kind(item=None, key=key, width=length, rows=1, arrived=0, rank=rank, deadline=0, is_long=False)


def test_a_pick_among_five_thousand_looks_at_few_beyond_its_batch():
    looks = Counter()

    class Counted(WaitingItem):
        def __getattribute__(self, name: str) -> Any:
            looks[id(self)] += 1
            return super().__getattribute__(name)

    queue = BatchQueue(1_024)
    for number in range(5_000):
        queue.add(waiting_item(10 + number % 40, number, kind=Counted))
    looks.clear()
    seed = queue.first(long_too=True)
    assert seed is not None
    batch = queue.take(seed, 64)
    assert len(batch) == 64
    # Removing an item from a heap of 13 levels looks at two on each.
    assert len(looks) <= 64 * (1 + 2 * 13)
    assert looks.total() < 10_000


@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=60), rows=st.integers(1, 20), budget=st.integers(1, 300)
)
def test_every_batch_holds_the_first_in_line_and_stays_within_its_bounds(lengths, rows, budget):
    queue = BatchQueue(budget)
    everything = [waiting_item(length, number) for number, length in enumerate(lengths)]
    for waiting in everything:
        queue.add(waiting)
    taken: list[WaitingItem] = []
    while seed := queue.first(long_too=True):
        batch = queue.take(seed, rows)
        widest, narrowest = max(item.width for item in batch), min(item.width for item in batch)
        assert seed in batch
        assert len(batch) <= rows
        assert len(batch) == 1 or widest * len(batch) <= budget
        assert widest - narrowest <= max(narrowest, 16)
        assert seed.rank == min(item.rank for item in everything if item not in taken)
        taken += batch
    assert sorted(item.rank for item in taken) == list(range(len(lengths)))
    assert len(queue) == 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.lists(st.integers(0, 30), min_size=1, max_size=12)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("pass"), st.integers(1, 3)),
    ),
    max_size=40,
)


@given(steps=STEPS, workers=st.integers(1, 3), per_step=st.integers(1, 8), in_line=st.integers(1, 8))
@settings(max_examples=300, deadline=None)
def test_whatever_comes_and_goes_and_breaks_every_request_gets_exactly_its_outcomes(steps, workers, per_step, in_line):
    def run(items: Sequence[Sentence], *, on_outcome: OnOutcome) -> list[Result | Failure]:
        for item in items:
            if item.length % 3 == 1 and item.options != "broken":
                on_outcome(item, Result(item.name))
        if any(item.options == "broken" for item in items):
            raise ValueError("broken")
        return [Result(item.name) for item in items]

    def sentence(number: int) -> Sentence:
        return Sentence(str(number), 1 + number, "broken" if number % 7 == 3 else "greedy")

    async def scene():
        notes = Notes()
        batcher = batcher_of(run, parallel_batches=workers, observer=notes, max_waiting_items=20)
        requests: list[tuple[list[int], asyncio.Task[Any]]] = []
        for step, argument in steps:
            if step == "ask":
                items = [sentence(number) for number in argument]
                requests.append((argument, asyncio.ensure_future(batcher.submit(items))))
            elif step == "cancel" and requests:
                requests[argument % len(requests)][1].cancel()
            else:
                await asyncio.sleep(0)
        for _ in range(12):
            # As many steps as the longest request is accepted in.
            await all_asked()
        await batcher.close()
        for numbers, request in requests:
            with suppress(asyncio.CancelledError, UnavailableError):
                outcomes = await request
                assert len(outcomes) == len(numbers)
                for number, outcome in zip(numbers, outcomes, strict=True):
                    assert outcome == Result(str(number)) or (number % 7 == 3 and isinstance(outcome, Failure))
        assert notes.queue == (0, 0)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("dragoman.batching.line.ITEMS_PER_STEP", per_step)
        patched.setattr("dragoman.batching.batcher.ITEMS_PER_STEP", per_step)
        patched.setattr("dragoman.batching.line.ITEMS_IN_LINE", in_line)
        play(scene)


@played
async def test_a_batch_for_which_there_is_no_thread_fails_and_its_sentences_can_be_asked_for_again(monkeypatch):
    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    notes = Notes()
    batcher = batcher_of(HeldEngine(held=False).run, observer=notes)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        (outcome,) = await asked(batcher, "a")
        assert outcome.error.code == "internal_error"
    assert await asked(batcher, "a") == [Result("A")]
    assert notes.queue == (0, 0)
    await batcher.close()
