"""Who is to blame when a batch fails, and what everybody gets."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import dragoman
from dragoman.computing import FAILURES_UNTIL_UNHEALTHY
from dragoman.outcomes import Failure, Result
from dragoman.predictor import Predictor

TEXTS = ["the red car", "a dog", "our house", "the station", "a cup of tea", "my friend", "the man", "a woman"]


class Engine:
    """The real engine behind a switch: it fails always, on some sources, or answers too little."""

    def __init__(self, task: Any) -> None:
        self.calls, self.is_dead, self.loses_answers = 0, False, False
        self.poison: set[tuple[int, ...]] = set()
        self._decode = task.engine.decode
        task.engine.decode = self.decode

    def decode(self, sources: Sequence[tuple[int, ...]], *arguments: Any, **options: Any) -> list[Any]:
        self.calls += 1
        if self.is_dead or self.poison & set(sources):
            raise RuntimeError("CUDA error: device lost")
        found: list[Any] = self._decode(sources, *arguments, **options)
        return found[:-1] if self.loses_answers else found


@pytest.fixture
def predictor(tiny_bundle: Path) -> Iterator[Predictor]:
    predictor = dragoman.load(tiny_bundle)
    yield predictor
    predictor.close()


@pytest.fixture
def engine(predictor: Predictor) -> Engine:
    return Engine(predictor.task)


def batch_of(predictor: Predictor) -> list[Any]:
    """Items of one batch."""
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
