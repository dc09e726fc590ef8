"""The attribution of failures of a batch, and the outcomes of its items."""

import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import dragoman
from dragoman.batching.computing import FAILURES_UNTIL_UNHEALTHY
from dragoman.errors import InvalidInput
from dragoman.items.outcomes import Failure, Result
from dragoman.predictor import Predictor

TEXTS = ["the red car", "a dog", "our house", "the station", "a cup of tea", "my friend", "the man", "a woman"]


class FaultyEngine:
    """The real engine behind a switch: it fails always, on some sources, or answers too little."""

    def __init__(self, task: Any) -> None:
        self.calls, self.is_dead, self.loses_answers = 0, False, False
        self.poison: set[tuple[int, ...]] = set()
        self.error: Exception = RuntimeError("CUDA error: device lost")
        self.fails_once_on: set[tuple[int, ...]] = set()
        self.dies_after: float = math.inf
        self._decode = task.engine.decode
        task.engine.decode = self.decode

    def decode(self, sources: Sequence[tuple[int, ...]], *arguments: Any, **options: Any) -> list[Any]:
        self.calls += 1
        if self.is_dead or self.calls > self.dies_after or self.poison & set(sources):
            raise self.error
        if once := self.fails_once_on & set(sources):
            self.fails_once_on -= once
            raise self.error
        found: list[Any] = self._decode(sources, *arguments, **options)
        return found[:-1] if self.loses_answers else found


@pytest.fixture
def predictor(tiny_bundle: Path) -> Iterator[Predictor]:
    predictor = dragoman.load(tiny_bundle)
    yield predictor
    predictor.close()


@pytest.fixture
def engine(predictor: Predictor) -> FaultyEngine:
    return FaultyEngine(predictor.task)


def batch_of(predictor: Predictor) -> list[Any]:
    """Return the items of one batch."""
    return [item for text in TEXTS for item in predictor.task.prepare(text).items]


def test_a_dead_engine_is_called_twice_and_is_nobody_elses_fault(predictor, engine, caplog):
    engine.is_dead = True
    outcomes = predictor.computing.batch(batch_of(predictor))
    assert {(outcome.error.code, outcome.error.status) for outcome in outcomes} == {("internal_error", 500)}
    assert engine.calls == 2
    tracebacks = [record for record in caplog.records if record.exc_info and record.levelno >= logging.ERROR]
    assert len(tracebacks) == 1


def test_a_dead_engine_is_no_fault_of_a_text_that_comes_alone(predictor, engine):
    engine.is_dead = True
    (outcome,) = predictor(["the red car"])
    assert outcome.error.code == "internal_error"


def test_two_bad_items_in_different_halves_fail_alone(predictor, engine):
    items = batch_of(predictor)
    engine.poison = {items[0].ids, items[-1].ids}
    outcomes = predictor.computing.batch(items)
    assert [type(outcome) for outcome in outcomes] == [Failure, *[Result] * (len(items) - 2), Failure]
    assert outcomes[0].error.code == outcomes[-1].error.code == "unprocessable_text"


def test_after_several_failures_in_a_row_the_model_is_unhealthy_until_it_works_again(predictor, engine):
    engine.is_dead = True
    for number in range(1, FAILURES_UNTIL_UNHEALTHY + 1):
        assert predictor.computing.is_healthy
        predictor(["the red car"])
        assert predictor.computing.is_healthy == (number < FAILURES_UNTIL_UNHEALTHY)
    assert not predictor.computing.probe()
    engine.is_dead = False
    assert predictor.computing.probe()
    assert predictor.computing.is_healthy


def test_bad_items_never_make_the_model_unhealthy(predictor, engine):
    (item,) = predictor.task.prepare("the red car").items
    engine.poison = {item.ids}
    for _ in range(2 * FAILURES_UNTIL_UNHEALTHY):
        assert predictor(["the red car"])[0].error.code == "unprocessable_text"
    assert predictor.computing.is_healthy


def test_an_engine_that_gives_too_few_answers_has_failed(predictor, engine):
    engine.loses_answers = True
    outcomes = predictor.computing.batch(batch_of(predictor))
    assert {outcome.error.code for outcome in outcomes} == {"internal_error"}


def test_an_item_that_comes_alone_is_not_blamed_for_a_failure_that_passes(predictor, engine):
    (item,) = predictor.task.prepare("the red car").items
    engine.fails_once_on = {item.ids}
    (outcome,) = predictor.computing.batch([item])
    assert isinstance(outcome, Result)


def test_where_nothing_of_a_batch_can_be_computed_the_engine_is_at_fault_although_its_example_works(
    predictor, engine, caplog
):
    items = batch_of(predictor)
    engine.poison = {item.ids for item in items}
    outcomes = predictor.computing.batch(items)
    assert {(outcome.error.code, outcome.error.status) for outcome in outcomes} == {("internal_error", 500)}
    assert len([record for record in caplog.records if record.exc_info]) == 1
    assert predictor.computing.is_healthy


def test_an_engine_that_dies_while_bad_items_are_looked_for_is_not_blamed_on_any(predictor, engine):
    items = batch_of(predictor)
    engine.poison = {items[0].ids}
    # The batch, the example, the first half and its first quarter.
    engine.dies_after = 4
    outcomes = predictor.computing.batch(items)
    assert {outcome.error.code for outcome in outcomes} == {"internal_error"}
    # By now the second item has been computed.
    engine.dies_after, engine.calls = 6, 0
    outcomes = predictor.computing.batch(items)
    assert [outcome.error.code for outcome in outcomes if isinstance(outcome, Failure)] == ["internal_error"] * 7
    assert isinstance(outcomes[1], Result)


@pytest.mark.parametrize("count", [1, 2])
def test_what_an_engine_refuses_with_a_reason_is_told_in_its_words(predictor, engine, count):
    items = batch_of(predictor)[:count]
    engine.poison, engine.error = {item.ids for item in items}, InvalidInput("num_beams must be 1 to 32, got 40")
    outcomes = predictor.computing.batch(items)
    assert {str(outcome.error) for outcome in outcomes} == {"num_beams must be 1 to 32, got 40"}


def test_a_batch_that_is_too_large_for_the_engine_is_computed_in_parts(predictor, engine, monkeypatch):
    decode = predictor.task.engine.decode

    def small(sources, *arguments, **options):
        if len(sources) > 3:
            raise MemoryError
        return decode(sources, *arguments, **options)

    monkeypatch.setattr(predictor.task.engine, "decode", small)
    assert {type(outcome) for outcome in predictor.computing.batch(batch_of(predictor))} == {Result}
    assert predictor.computing.is_healthy
