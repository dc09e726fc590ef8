import numpy
import pytest

from dragoman.bundle.manifest import Score
from dragoman.errors import DataError
from scoring.base import Metric
from scoring.table import METRICS, figure
from train.run.record import baseline_figures
from train.run.scores import score_table, scores

REFERENCES = [f"Das ist der Satz mit der Nummer {number}." for number in range(40)]
OUTPUTS = [text.replace("der Nummer", "Nummer") if number % 2 else text for number, text in enumerate(REFERENCES)]


def test_every_score_has_its_signature_and_an_interval_round_it() -> None:
    found = scores(("chrF", "BLEU", "BLEU-lc"), OUTPUTS, REFERENCES, test_set="toy", engine="none")
    assert [score.metric for score in found] == ["chrF", "BLEU", "BLEU-lc"]
    for score in found:
        assert score.low < score.value < score.high
        assert "bs:1000|seed:12345" in score.signature
        assert (score.items, score.test_set, score.engine) == (40, "toy", "none")
    assert "tok:13a" in found[1].signature
    assert "case:lc" in found[2].signature


def test_the_interval_repeats() -> None:
    first, again = (scores(("chrF",), OUTPUTS, REFERENCES, test_set="toy", engine="x") for _ in range(2))
    assert first == again


def test_one_item_has_an_interval_without_width() -> None:
    (chrf,) = scores(("chrF",), ["Ein Satz."], ["Ein Satz."], test_set="toy", engine="x")
    assert chrf.low == chrf.value == chrf.high


class Undefined(Metric):
    """A metric that has no value for any outputs."""

    name = "undefined"

    def counts(self, outputs, references):
        return numpy.full((len(outputs), 1), numpy.nan)

    def score(self, sums):
        return float(sums[0])


def test_a_score_that_is_no_number_is_told_with_its_metric_and_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS, "undefined", f"{__name__}:Undefined")
    with pytest.raises(DataError, match=r"undefined is nan \(nan to nan\) on toy"):
        scores(("undefined",), OUTPUTS, REFERENCES, test_set="toy", engine="x")


def score(metric: str, value: float, engine: str, test_set: str = "toy/test@01234567") -> Score:
    return Score(
        metric=metric, value=value, signature="", test_set=test_set, items=9, low=0.0, high=99.0, engine=engine
    )


BASELINES = [score("accuracy", 40.0, "majority class"), score("accuracy", 97.25, "TF-IDF + linear SVM")]


def test_the_table_of_scores_sets_the_baselines_beside_the_model() -> None:
    found = [score("accuracy", 95.5, "ctranslate2"), score("ECE", 1.125, "ctranslate2")]
    assert score_table(found, BASELINES).splitlines() == [
        "test set  metric    model  majority class  TF-IDF + linear SVM",
        "toy/test  accuracy  95.50           40.00                97.25",
        "toy/test  ECE        1.12",
    ]


class Bits(Undefined):
    """A metric whose second digit says nothing."""

    name, digits = "bits", 4


def test_scores_are_written_with_the_digits_of_their_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS, "bits", f"{__name__}:Bits")
    assert score_table([score("bits", 1.79612, "x")], []).splitlines()[1].endswith("1.7961")
    assert [figure(name, 1.79612) for name in ("bits", "BITS", "loss")] == ["1.7961", "1.7961", "1.80"]


def test_a_model_without_baselines_has_a_table_too() -> None:
    assert score_table([score("chrF", 50.0, "x")], []).splitlines()[1] == "toy/test  chrF    50.00"


def test_the_figures_of_baselines_have_names_that_mlflow_takes() -> None:
    assert baseline_figures(BASELINES) == {
        "toy/test/majority-class/accuracy": 40.0,
        "toy/test/tf-idf-linear-svm/accuracy": 97.25,
    }
