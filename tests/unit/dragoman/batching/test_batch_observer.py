"""Observers of the batcher: they are told everything, and their failures harm no request."""

import logging

import pytest

from dragoman.items.outcomes import Result
from tests.batcher_scenes import HeldEngine, Notes, all_asked, asked, batcher_of, occupied, play, played


@played
async def test_the_observer_hears_of_every_batch():
    engine, batcher, notes = await occupied()
    request = asked(batcher, "a", "b", length=7)
    await all_asked()
    assert notes.waiting == {"short": (2, 14), "long": (0, 0)}
    engine.let_go()
    await request
    assert notes.queue == (0, 0)
    waits, widths = notes.started[1]
    assert (list(widths), len(waits), min(waits) >= 0) == ([7, 7], 2, True)
    assert notes.ended[1] == [Result("A"), Result("B")]


@pytest.mark.parametrize("event", ["queue_changed", "batch_started", "batch_ended"])
def test_an_observer_that_raises_loses_nothing_and_is_logged_once(event, caplog):
    def fail(*_: object) -> None:
        raise OSError("no space left for the metric files")

    async def scene():
        notes = Notes()
        setattr(notes, event, fail)
        batcher = batcher_of(HeldEngine(held=False).run, parallel_batches=2, observer=notes)
        for name in "abc":
            assert await asked(batcher, name) == [Result(name.upper())]
        gone = asked(batcher, "d")
        await all_asked()
        gone.cancel()
        assert await asked(batcher, *map(str, range(40))) == [Result(str(number)) for number in range(40)]
        await batcher.close()

    with caplog.at_level(logging.ERROR):
        play(scene)
    (record,) = caplog.records
    assert event in record.message
    assert record.exc_info is not None
    assert "no space left" in str(record.exc_info[1])
