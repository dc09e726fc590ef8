"""Short and long requests have budgets of their own: neither class keeps the other one out."""

import asyncio

import pytest

from dragoman.errors import UnavailableError
from dragoman.items.outcomes import Result
from dragoman.items.sizes import Capacity
from tests.batcher_scenes import HeldEngine, Sentence, all_asked, asked, batcher_of, occupied, played

# Of the largest document that a bundle's limits allow, 200,000 characters.
DOCUMENT_ITEMS = 5_867
LARGEST_REQUEST = 100_000


def document(items: int, *, length: int = 12, name: str = "d") -> list[Sentence]:
    return [Sentence(f"{name}{number}", length) for number in range(items)]


@pytest.mark.parametrize(
    ("items", "length"), [(DOCUMENT_ITEMS, 12), (LARGEST_REQUEST, 6)], ids=["a document", "a list of short sentences"]
)
@played
async def test_short_requests_are_never_refused_while_the_largest_long_one_is_worked_off(items, length):
    batch_cost = Capacity().batch_cost
    engine, batcher, notes = await occupied(parallel_batches=2, batch_cost=batch_cost)
    large = asyncio.ensure_future(batcher.submit(document(items, length=length)))
    while notes.waiting["long"] != (items, items * length):
        await asyncio.sleep(0)
    for number in range(20):
        batcher.check_room()
        short = asked(batcher, f"short{number}")
        while not short.done():
            engine.let_go(1)
            await asyncio.sleep(0.001)
        assert await short == [Result(f"SHORT{number}")]
    assert notes.waiting["long"][0]
    large.cancel()
    engine.let_go()


@played
async def test_short_requests_fill_their_own_budget_while_a_long_one_waits():
    engine, batcher, notes = await occupied(max_waiting_items=3)
    long = asked(batcher, *(f"d{number}" for number in range(50)))
    await all_asked()
    shorts = [asked(batcher, f"short{number}") for number in range(3)]
    await all_asked()
    assert notes.waiting == {"short": (3, 30), "long": (50, 500)}
    message = "^short requests: 3 items of cost 30 are waiting and the limits are 3 and 65536; send this"
    with pytest.raises(UnavailableError, match=message):
        await asked(batcher, "one too many")
    engine.let_go()
    assert [len(outcomes) for outcomes in await asyncio.gather(long, *shorts)] == [50, 1, 1, 1]
    assert notes.waiting == {"short": (0, 0), "long": (0, 0)}


@played
async def test_one_long_request_of_any_size_is_accepted_when_none_waits_however_many_short_ones_do():
    engine, batcher, _ = await occupied(max_waiting_items=3)
    shorts = [asked(batcher, f"short{number}") for number in range(3)]
    await all_asked()
    batcher.check_room()
    long = asked(batcher, *(f"d{number}" for number in range(50)))
    await all_asked()
    message = "^long requests: 50 items of cost 500 are waiting and the limits are 3 and 65536; send this"
    with pytest.raises(UnavailableError, match=message) as refused:
        await asked(batcher, *(f"e{number}" for number in range(6)))
    assert (refused.value.code, refused.value.status) == ("overloaded", 503)
    engine.let_go()
    await asyncio.gather(long, *shorts)
    assert len(await asked(batcher, *(f"e{number}" for number in range(6)))) == 6


@played
async def test_before_its_size_is_known_a_request_is_refused_only_when_no_class_has_room():
    engine, batcher, _ = await occupied(max_waiting_items=3)
    waiting = [asked(batcher, *(f"d{number}" for number in range(50)))]
    await all_asked()
    batcher.check_room()
    waiting += [asked(batcher, f"short{number}") for number in range(3)]
    await all_asked()
    with pytest.raises(UnavailableError, match=r"short requests: 3 items .*; long requests: 50 items ") as refused:
        batcher.check_room()
    assert refused.value.code == "overloaded"
    engine.let_go()
    await asyncio.gather(*waiting)
    batcher.check_room()


@played
async def test_a_client_that_leaves_frees_the_room_of_all_its_items_at_once():
    engine, batcher, notes = await occupied(max_waiting_items=3)
    gone = asyncio.ensure_future(batcher.submit(document(20_000)))
    while notes.waiting["long"] != (20_000, 240_000):
        await asyncio.sleep(0)
    gone.cancel()
    await all_asked()
    assert notes.waiting["long"] == (0, 0)
    next_one = asked(batcher, *(f"e{number}" for number in range(50)))
    engine.let_go()
    assert len(await next_one) == 50
    # Nothing of the request that left was computed.
    assert {name[0] for batch in engine.batches for name in batch} == {"h", "e"}


@played
async def test_a_request_cancelled_while_it_is_being_accepted_leaves_nothing_behind():
    engine, batcher, notes = await occupied()
    for pauses in range(0, 90, 3):
        gone = asyncio.ensure_future(batcher.submit(document(4_000)))
        for _ in range(pauses):
            await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
        assert notes.waiting == {"short": (0, 0), "long": (0, 0)}
    engine.let_go()
    assert await asked(batcher, "d3999", length=12) == [Result("D3999")]
    assert engine.batches == [["held0"], ["d3999"]]


def test_a_request_that_is_being_accepted_when_the_batcher_closes_is_answered_whole_or_refused():
    async def scene(pauses: int) -> int:
        batcher = batcher_of(HeldEngine(held=False).run)
        request = asyncio.ensure_future(batcher.submit(document(4_000)))
        for _ in range(pauses):
            await asyncio.sleep(0)
        await batcher.close()
        try:
            return len(await request)
        except UnavailableError:
            return 0

    answered = {asyncio.run(asyncio.wait_for(scene(pauses), 20)) for pauses in range(0, 90, 5)}
    assert answered == {0, 4_000}


@played
async def test_a_sentence_of_a_document_moves_to_the_budget_of_the_short_request_that_asks_for_it_and_back():
    engine, batcher, notes = await occupied(max_waiting_items=1)
    long = asked(batcher, *(f"d{number}" for number in range(50)))
    await all_asked()
    short = asked(batcher, "d49")
    await all_asked()
    assert notes.waiting == {"short": (1, 10), "long": (49, 490)}
    with pytest.raises(UnavailableError, match="short requests: 1 items"):
        await asked(batcher, "d48")
    short.cancel()
    await all_asked()
    assert notes.waiting == {"short": (0, 0), "long": (50, 500)}
    engine.let_go()
    assert len(await long) == 50


@played
async def test_what_a_client_who_leaves_shares_with_another_is_computed_at_that_ones_expense():
    engine, batcher, notes = await occupied()
    first = asked(batcher, *(f"d{number}" for number in range(30)))
    await all_asked()
    second = asked(batcher, *(f"d{number}" for number in range(20, 50)))
    await all_asked()
    assert notes.waiting["long"] == (50, 500)
    first.cancel()
    await all_asked()
    assert notes.waiting["long"] == (30, 300)
    engine.let_go()
    assert await second == [Result(f"D{number}") for number in range(20, 50)]
    assert sum(map(len, engine.batches)) == 31


@played
async def test_sentences_far_apart_in_a_list_longer_than_the_line_are_all_answered(monkeypatch):
    monkeypatch.setattr("dragoman.batching.line.ITEMS_IN_LINE", 10)
    engine = HeldEngine(held=False)
    batcher = batcher_of(engine.run, parallel_batches=2)
    items = [Sentence(f"d{number % 700}") for number in range(2_000)]
    assert await batcher.submit(items) == [Result(item.name.upper()) for item in items]
    assert max(map(len, engine.batches)) <= 10


@played
async def test_a_task_that_cannot_say_how_an_item_is_batched_fails_its_request_alone():
    def key(item: Sentence) -> str:
        return {"greedy": "greedy"}[item.options]

    engine, batcher, _ = await occupied(batch_key=key)
    fine, broken = asked(batcher, "a"), asked(batcher, "b", options="unheard of")
    with pytest.raises(KeyError):
        await broken
    engine.let_go()
    assert await fine == [Result("A")]
