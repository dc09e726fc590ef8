import math

import pytest

from dragoman.tasks.translation.result import SentenceHypothesis, assemble, score


def hypothesis(text: str, log_probability: float, num_tokens: int, penalty: float, *, finished: bool = True):
    scored = log_probability / num_tokens**penalty
    return SentenceHypothesis(text=text, num_tokens=num_tokens, score=scored, finished=finished)


@pytest.mark.parametrize("penalty", [0.0, 0.5, 1.0, 2.0])
def test_the_score_of_a_document_is_that_of_its_sentences_as_one_sequence(penalty: float) -> None:
    sentences = [
        hypothesis("a", -2.0, 4, penalty),
        hypothesis("b", -1.0, 7, penalty),
        hypothesis("c", -6.0, 1, penalty),
    ]
    assert score(sentences, penalty) == pytest.approx(-9.0 / 12**penalty)


def test_one_sentence_keeps_its_score_to_the_bit() -> None:
    (one,) = [SentenceHypothesis(text="a", num_tokens=7, score=-math.pi, finished=True)]
    assert score([one], 0.3) == -math.pi


def test_there_is_no_score_where_none_was_asked_for() -> None:
    silent = SentenceHypothesis(text="a", num_tokens=3, score=None, finished=True)
    assert score([silent, silent], 1.0) is None
    translation = assemble("a a", [(0, 1), (2, 3)], [[silent], [silent]], length_penalty=1.0)
    assert translation.scores == ()


def test_alternatives_are_made_rank_by_rank() -> None:
    first = [hypothesis("A", -1.0, 2, 1.0), hypothesis("a", -2.0, 2, 1.0)]
    second = [hypothesis("B", -1.0, 2, 1.0), hypothesis("b", -3.0, 3, 1.0)]
    translation = assemble(" x.\n\ty ", [(1, 3), (5, 6)], [first, second], length_penalty=1.0)
    assert (translation.text, translation.alternatives) == (" A\n\tB ", (" a\n\tb ",))
    assert translation.scores == pytest.approx((-0.5, -1.0))
    assert translation.finish_reason == "stop"


def test_one_sentence_that_was_cut_makes_the_text_one_that_was_cut() -> None:
    whole, cut = hypothesis("A", -1.0, 2, 1.0), hypothesis("B", -1.0, 2, 1.0, finished=False)
    assert assemble("x y", [(0, 1), (2, 3)], [[whole], [cut]], length_penalty=1.0).finish_reason == "length"
