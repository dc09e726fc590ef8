"""What training makes of a bundle's answers: refusals count as no output, a dead engine ends the scoring."""

from pathlib import Path

import pytest

import dragoman
from dragoman.errors import InferenceError
from train.run.outputs import answer


def test_an_item_that_is_refused_counts_as_no_output(tiny_bundle: Path, toy_sentences: list[str]) -> None:
    predictor = dragoman.load(tiny_bundle)
    answered = answer(predictor, [*toy_sentences[:2], " "])
    predictor.close()
    assert len(answered.outputs) == 3
    assert answered.outputs[2] == ""
    assert list(answered.failures) == [3]


def test_an_engine_that_fails_is_not_scored_as_a_model_without_output(
    tiny_bundle: Path, toy_sentences: list[str]
) -> None:
    predictor = dragoman.load(tiny_bundle)
    # What is closed computes nothing any more, as with a device that is lost.
    predictor.task.close()
    with pytest.raises(InferenceError):
        answer(predictor, toy_sentences[:3])
    predictor.computing.close()
