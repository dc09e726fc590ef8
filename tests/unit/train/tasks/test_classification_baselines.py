import pytest

from scoring.base import score_of
from scoring.table import metric
from tests.toy_texts import toy_texts
from train.config.compose import compose_config
from train.tasks.text_classification.baselines import fit_baselines

TEXTS = toy_texts()


def test_the_majority_class_and_a_linear_svm_are_scored_by_the_metrics_of_the_model() -> None:
    training, test = [*TEXTS[::2], *TEXTS[1:40:2]], TEXTS[1::2]
    majority, svm = fit_baselines(training)
    assert (majority.name, svm.name) == ("majority class", "TF-IDF + linear SVM")
    found = {}
    for baseline in (majority, svm):
        outputs = baseline.answer([text for text, _ in test])
        found |= {
            (baseline.name, name): score_of(metric(name), outputs, [r for _, r in test]) for name in baseline.metrics
        }
    assert found["majority class", "accuracy"] == pytest.approx(100 / 3)
    assert found["TF-IDF + linear SVM", "accuracy"] > 95


def test_the_same_texts_give_the_same_answers() -> None:
    inputs = [text for text, _ in TEXTS]
    first, again = (fit_baselines(TEXTS[::3])[1].answer(inputs) for _ in range(2))
    assert first == again


def test_texts_without_a_word_have_the_majority_class_alone() -> None:
    (majority,) = fit_baselines([("1 2", "x"), ("+ -", "y"), ("a b", "x")])
    assert majority.answer(["3"]) == [{"x": 1.0}]


def test_the_svm_reaches_its_known_score_on_r8(shared_data) -> None:
    config = compose_config(["task=text_classification", "data=r8", f"data.path={shared_data / 'r8' / 'r8.csv'}"])
    splits = config.data.read()
    training = [*splits.train, *splits.validation]
    _, svm = fit_baselines(training)
    test = splits.tests["test"]
    outputs = svm.answer([text for text, _ in test])
    references = [label for _, label in test]
    assert score_of(metric("accuracy"), outputs, references) == pytest.approx(97.5, abs=0.3)
    assert score_of(metric("macro-F1"), outputs, references) == pytest.approx(93.9, abs=0.8)
