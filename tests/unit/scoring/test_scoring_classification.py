"""The metrics of classifications against scikit-learn, and against their definitions written out."""

from dataclasses import dataclass

import numpy
import pytest
from sklearn.metrics import accuracy_score, f1_score

from scoring.base import Missing, score_of
from scoring.bootstrap import estimate
from scoring.table import guard, metric

LABELS = ("earn", "acq", "crude", "trade", "grain")
SHARES = (0.5, 0.3, 0.1, 0.09, 0.01)
NAMES = ("accuracy", "macro-F1", "ECE")


def ordered(probabilities: dict[str, float]) -> dict[str, float]:
    return dict(sorted(probabilities.items(), key=lambda pair: -pair[1]))


def system(references: list[str], *, right: float, seed: int) -> list[dict[str, float]]:
    """Answer with the reference's label in about this share of the items."""
    generator = numpy.random.default_rng(seed)
    outputs = []
    for reference in references:
        label = reference if generator.random() < right else str(generator.choice(LABELS))
        top = generator.uniform(0.4, 1.0)
        rest = (1 - top) / (len(LABELS) - 1)
        outputs.append(ordered({name: top if name == label else rest for name in LABELS}))
    return outputs


@pytest.fixture(scope="module")
def references() -> list[str]:
    generator = numpy.random.default_rng(1)
    return [str(label) for label in generator.choice(LABELS, size=400, p=SHARES)]


def answers(outputs: list[dict[str, float]]) -> list[str]:
    return [next(iter(output)) for output in outputs]


@pytest.mark.parametrize("right", [0.0, 0.3, 0.95, 1.0])
def test_accuracy_and_macro_f1_are_those_of_scikit_learn(references, right):
    outputs = system(references, right=right, seed=2)
    expected = 100 * accuracy_score(references, answers(outputs))
    assert score_of(metric("accuracy"), outputs, references) == pytest.approx(expected)
    expected = 100 * f1_score(references, answers(outputs), average="macro")
    assert score_of(metric("macro-F1"), outputs, references) == pytest.approx(expected)


def test_a_class_counts_that_is_only_answered_or_only_expected():
    only_answered, only_expected = ["earn"] * 8 + ["acq"] * 2, ["earn"] * 10
    for found, expected in ((only_answered, only_expected), (only_expected, only_answered)):
        outputs = [{label: 1.0} for label in found]
        theirs = 100 * f1_score(expected, found, average="macro", zero_division=0)
        assert score_of(metric("macro-F1"), outputs, expected) == pytest.approx(theirs)


def test_a_label_that_the_model_knows_and_nobody_mentions_is_no_class():
    outputs = [ordered({"earn": 0.8, "acq": 0.1, "trade": 0.1})] * 3
    assert score_of(metric("macro-F1"), outputs, ["earn"] * 3) == 100.0


def test_scores_of_parts_come_from_the_sums_of_their_counts(references):
    outputs = system(references, right=0.8, seed=3)
    for name in NAMES:
        scored = metric(name)
        part = scored.counts(outputs, references)[50:120].sum(axis=0)
        assert scored.score(part) == pytest.approx(score_of(scored, outputs[50:120], references[50:120]))


def test_two_models_of_the_same_labels_have_the_same_columns(references):
    counts = [metric("macro-F1").counts(system(references, right=right, seed=4), references) for right in (0.1, 1.0)]
    assert counts[0].shape == counts[1].shape


def test_a_refused_item_is_wrong_and_brings_no_class_of_its_own():
    outputs, references = [{"earn": 1.0}, {"acq": 1.0}, {}], ["earn", "acq", "acq"]
    assert score_of(metric("accuracy"), outputs, references) == pytest.approx(200 / 3)
    assert score_of(metric("macro-F1"), outputs, references) == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert score_of(metric("ECE"), outputs, references) == 0.0
    assert [score_of(metric(name), [{}], ["earn"]) for name in NAMES] == [0.0, 0.0, 0.0]


def test_the_calibration_error_weighs_the_bins_by_their_items(references):
    outputs = system(references, right=0.7, seed=5)
    tops = numpy.array([max(output.values()) for output in outputs])
    right = numpy.array([answer == reference for answer, reference in zip(answers(outputs), references, strict=True)])
    expected = 0.0
    for number in range(15):
        rows = (tops > number / 15) & (tops <= (number + 1) / 15)
        if rows.any():
            expected += 100 * rows.mean() * abs(right[rows].mean() - tops[rows].mean())
    assert score_of(metric("ECE"), outputs, references) == pytest.approx(expected)


def test_certain_and_right_is_calibrated_certain_and_wrong_is_not():
    assert score_of(metric("ECE"), [{"earn": 1.0, "acq": 0.0}] * 4, ["earn"] * 4) == 0.0
    assert score_of(metric("ECE"), [{"earn": 1.0, "acq": 0.0}] * 4, ["acq"] * 4) == 100.0
    assert score_of(metric("ECE"), [{"earn": 0.75, "acq": 0.25}] * 4, ["earn"] * 3 + ["acq"]) == pytest.approx(0.0)


def test_each_has_an_interval_and_a_signature_that_says_what_it_is(references):
    outputs = system(references, right=0.9, seed=6)
    signatures = set()
    for name in NAMES:
        found = estimate(metric(name), outputs, references)
        assert found.low < found.value < found.high or (name == "ECE" and found.low < found.high)
        assert found.signature.startswith(f"{name}|")
        assert found.signature.endswith("|bs:1000|seed:12345")
        signatures.add(found.signature)
    assert len(signatures) == 3
    assert [metric(name).higher_is_better for name in NAMES] == [True, True, False]


@dataclass(frozen=True)
class Classification:
    label: str


def test_guards_look_at_each_class_the_largest_first_and_leave_out_those_of_few_items():
    references = ["acq"] * 30 + ["grain"] * 29 + ["earn"] * 40
    # A refused item misses its class and gives no label.
    values = [None, *map(Classification, ["acq"] * 27 + ["earn"] * 2 + ["grain"] * 29 + ["earn"] * 40)]
    recall, ratio = (guard(name)(references, values, references) for name in ("class_recall", "predicted_ratio"))
    assert recall == {"earn": 100.0, "acq": 90.0, "grain": Missing("too few (29)")}
    assert ratio == {"earn": 42 / 40, "acq": 27 / 30, "grain": Missing("too few (29)")}
    assert list(recall) == list(ratio) == ["earn", "acq", "grain"]


@pytest.mark.parametrize(
    ("better", "worse", "p"),
    [(15, 6, 0.0783538818), (0, 0, 1.0), (7, 7, 1.0), (0, 20, 2**-19), (5000, 5100, 0.3245815)],
)
def test_the_p_value_is_that_of_the_exact_binomial_test(better, worse, p):
    right, wrong = numpy.array([[1.0, 1.0]]), numpy.array([[0.0, 1.0]])
    agreed = numpy.repeat(right, 10, axis=0)
    ours = numpy.concatenate([agreed, *[right] * better, *[wrong] * worse])
    theirs = numpy.concatenate([agreed, *[wrong] * better, *[right] * worse])
    found = metric("accuracy").paired_test(ours, theirs)
    assert (found.better, found.worse) == (better, worse)
    assert found.p == pytest.approx(p, rel=1e-6)
    assert metric("accuracy").paired_test(theirs, ours).p == found.p
    assert metric("macro-F1").paired_test(ours, theirs) is None
