"""Answers to a long list: refusals keep their place, and an engine that fails ends the whole."""

from pathlib import Path

import pytest

import dragoman
from dragoman import predictor as module
from dragoman.errors import InferenceError
from dragoman.predictor import answer_all


def test_an_item_that_is_refused_has_no_output_and_a_reason(tiny_bundle: Path, toy_sentences: list[str], monkeypatch):
    monkeypatch.setattr(module, "ITEMS_AT_ONCE", 2)
    predictor = dragoman.load(tiny_bundle)
    done: list[int] = []
    outputs = answer_all(predictor, [*toy_sentences[:2], " "], done.append)
    predictor.close()
    assert (outputs.plain[2], outputs.values[2]) == ("", None)
    assert outputs.plain[:2] == tuple(value.text for value in outputs.values[:2])
    assert list(outputs.refused) == [2]
    assert done == [2, 3]


def test_an_engine_that_fails_is_not_put_down_to_the_items(tiny_bundle: Path, toy_sentences: list[str]):
    predictor = dragoman.load(tiny_bundle)
    # A closed engine computes nothing any more, like one whose device is lost.
    predictor.task.close()
    with pytest.raises(InferenceError):
        answer_all(predictor, toy_sentences[:3])
    predictor.computing.close()
