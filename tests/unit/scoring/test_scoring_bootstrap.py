"""The bootstrap against sacreBLEU, and its error rate on systems whose truth is known."""

import numpy
import pytest
from sacrebleu.metrics import BLEU, CHRF

from scoring.base import Metric
from scoring.bootstrap import compare, decide, estimate, interval, items_missing
from scoring.table import metric

WORDS = "der die das Mann Frau Kind sieht kauft bringt rotes Auto Haus Zug heute morgen gern".split()  # noqa: SIM905 - words read better than quoted words
NUMBERED = [f"Das ist der Satz mit der Nummer {number}." for number in range(40)]


class ErrorRate(Metric):
    """A metric that is better the lower it is."""

    name, unit, higher_is_better = "error", "percent", False

    def counts(self, outputs, references):
        rows = zip(outputs, references, strict=True)
        return numpy.array([[output != reference, 1] for output, reference in rows], float)

    def score(self, sums):
        return float(100 * sums[0] / sums[1])


def noisy(references: list[str], wrong_share: float, generator: numpy.random.Generator) -> list[str]:
    return [
        " ".join(generator.choice(WORDS) if generator.random() < wrong_share else word for word in text.split())
        for text in references
    ]


@pytest.fixture(scope="module")
def corpus() -> tuple[list[str], list[str], list[str]]:
    generator = numpy.random.default_rng(5)
    references = [" ".join(generator.choice(WORDS, size=generator.integers(3, 15))) for _ in range(300)]
    return noisy(references, 0.25, generator), noisy(references, 0.3, generator), references


@pytest.mark.parametrize(("name", "theirs"), [("chrF", CHRF), ("BLEU", BLEU)])
def test_the_interval_of_one_system_is_as_wide_as_that_of_sacrebleu(name, theirs, corpus):
    outputs, _, references = corpus
    expected = theirs().corpus_score(outputs, [references], n_bootstrap=1000)
    found = estimate(metric(name), outputs, references)
    assert found.value == expected.score
    assert found.low < found.value < found.high
    assert (found.high - found.low) / 2 == pytest.approx(expected._ci)
    assert "bs:1000|seed:12345" in found.signature
    assert found == estimate(metric(name), outputs, references)


def test_one_item_has_no_interval():
    found = estimate(metric("chrF"), ["Ein Satz."], ["Ein Satz."])
    assert found.low == found.value == found.high == pytest.approx(100)


def test_a_system_that_is_nearly_all_wrong_still_has_an_interval():
    outputs = [NUMBERED[0], *["x"] * 39]
    for name in ("chrF", "BLEU"):
        found = estimate(metric(name), outputs, NUMBERED)
        assert 0 <= found.low <= found.value <= found.high < 50


def test_an_interval_does_not_depend_on_how_many_resamples_are_held_at_once(monkeypatch, corpus):
    outputs, _, references = corpus
    chrf = metric("chrF")
    counts = chrf.counts(outputs, references)
    expected = interval(chrf, counts)
    monkeypatch.setattr("scoring.bootstrap.ROWS_AT_ONCE", 1000)
    assert interval(chrf, counts) == expected


@pytest.mark.parametrize(("name", "theirs"), [("chrF", CHRF), ("BLEU", BLEU)])
def test_scores_are_those_of_sacrebleu_and_the_interval_holds_the_difference(name, theirs, corpus):
    candidate, champion, references = corpus
    counts = [metric(name).counts(system, references) for system in (candidate, champion)]
    found = compare(metric(name), *counts, alpha=0.05, resamples=1000, seed=12345)
    assert found.candidate == pytest.approx(theirs().corpus_score(candidate, [references]).score)
    assert found.champion == pytest.approx(theirs().corpus_score(champion, [references]).score)
    assert numpy.mean(found.resampled) == pytest.approx(found.difference, abs=0.2)
    assert found.low < found.difference < found.high
    assert len(found.resampled) == 1000


def test_a_translation_without_a_single_match_scores_nothing():
    counts = metric("BLEU").counts(["x y z"] * 5, ["a b c"] * 5)
    found = compare(metric("BLEU"), counts, counts, alpha=0.05, resamples=100, seed=1)
    assert (found.low, found.high, found.candidate) == (0.0, 0.0, 0.0)


def test_where_lower_is_better_a_lower_candidate_is_the_better_one():
    references = list(range(200))
    few_wrong, many_wrong = ([-1] * wrong + references[wrong:] for wrong in (10, 60))
    errors = ErrorRate()
    ours, theirs = (errors.counts(system, references) for system in (few_wrong, many_wrong))
    found = compare(errors, ours, theirs, alpha=0.05, resamples=1000, seed=1)
    assert (found.candidate, found.champion, found.difference) == (5.0, 30.0, 25.0)
    assert 0 < found.low < 25 < found.high
    assert decide(found, mode="superiority", margin=1.0) == "promoted"
    other_way = compare(errors, theirs, ours, alpha=0.05, resamples=1000, seed=1)
    assert decide(other_way, mode="non_inferiority", margin=1.0) == "rejected"


def test_the_number_of_missing_items_makes_the_interval_as_wide_as_the_margin(corpus):
    candidate, champion, references = corpus
    chrf = metric("chrF")
    ours, theirs = (chrf.counts(system, references) for system in (candidate, champion))
    few = compare(chrf, ours[:100], theirs[:100], alpha=0.05, resamples=2000, seed=1)
    all_of_them = compare(chrf, ours, theirs, alpha=0.05, resamples=2000, seed=1)
    assert items_missing(few, margin=all_of_them.width) == pytest.approx(200, rel=0.4)


@pytest.mark.parametrize("mode", ["superiority", "non_inferiority"])
def test_no_more_candidates_at_the_limit_pass_than_stated(mode, corpus):
    """Draw test sets from all items as the population, so that the true difference is known."""
    candidate, champion, references = corpus
    chrf = metric("chrF")
    ours, theirs = (chrf.counts(system, references) for system in (candidate, champion))
    generator = numpy.random.default_rng(11)
    trials, promoted = 200, 0
    # At the limit of superiority the two are equal: each item's outputs are given to either at random.
    true_difference = chrf.score(theirs.sum(axis=0)) - chrf.score(ours.sum(axis=0))
    for _ in range(trials):
        rows = generator.integers(0, len(references), size=200)
        first, second = theirs[rows], ours[rows]
        if mode == "superiority":
            swapped = generator.random(200) < 0.5
            first, second = (
                numpy.where(swapped[:, None], one, other) for one, other in ((second, first), (first, second))
            )
        found = compare(chrf, first, second, alpha=0.05, resamples=200, seed=12345)
        promoted += decide(found, mode=mode, margin=-true_difference) == "promoted"
    # 17 of 200: the 0.97 quantile of a binomial distribution with the stated rate of 5 %.
    assert promoted <= 17
