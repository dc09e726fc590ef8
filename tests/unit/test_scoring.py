import pytest
from train.scoring import quick_scores, scores

REFERENCES = [f"Das ist der Satz mit der Nummer {number}." for number in range(40)]
HYPOTHESES = [text.replace("der Nummer", "Nummer") if number % 2 else text for number, text in enumerate(REFERENCES)]


def test_a_perfect_translation_scores_a_hundred() -> None:
    assert quick_scores(REFERENCES, REFERENCES) == pytest.approx({"bleu": 100, "chrf": 100})


def test_every_score_has_its_signature_and_an_interval_round_it() -> None:
    found = scores(HYPOTHESES, REFERENCES, test_set="toy", engine="none")
    assert [score.metric for score in found] == ["chrF", "BLEU"]
    for score in found:
        assert score.low < score.value < score.high
        assert "bs:1000|seed:12345" in score.signature
        assert (score.segments, score.test_set, score.engine) == (40, "toy", "none")
    assert "tok:13a" in found[1].signature


def test_the_interval_repeats() -> None:
    assert scores(HYPOTHESES, REFERENCES, test_set="toy", engine="x") == scores(
        HYPOTHESES, REFERENCES, test_set="toy", engine="x"
    )


def test_lower_cased_bleu_comes_on_request() -> None:
    found = scores([text.upper() for text in REFERENCES], REFERENCES, test_set="toy", engine="x", lower_cased=True)
    assert [score.metric for score in found] == ["chrF", "BLEU", "BLEU-lc"]
    assert "case:lc" in found[2].signature
    assert found[2].value == pytest.approx(100)
    assert found[1].value < 50


def test_one_sentence_has_no_interval() -> None:
    (chrf, _) = scores(["Ein Satz."], ["Ein Satz."], test_set="toy", engine="x")
    assert chrf.low == chrf.value == chrf.high == pytest.approx(100)


def test_a_translation_that_is_nearly_all_wrong_still_has_an_interval() -> None:
    hypotheses = ["Das ist der Satz mit der Nummer 0.", *["x"] * 39]
    for score in scores(hypotheses, REFERENCES, test_set="toy", engine="x"):
        assert 0 <= score.low <= score.value <= score.high < 50
