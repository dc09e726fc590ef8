"""The paired bootstrap against sacreBLEU, and its error rate on systems whose truth is known."""

import numpy
import pytest
from sacrebleu.metrics import BLEU, CHRF

from model_registry.paired_bootstrap import compare, corpus_score, decide, segment_counts, segments_missing

WORDS = "der die das Mann Frau Kind sieht kauft bringt rotes Auto Haus Zug heute morgen gern".split()  # noqa: SIM905 - words read better than quoted words


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


@pytest.mark.parametrize(("name", "metric"), [("chrF", CHRF), ("BLEU", BLEU)])
def test_scores_are_those_of_sacrebleu_and_the_interval_holds_the_difference(name, metric, corpus):
    candidate, champion, references = corpus
    ours, theirs = (segment_counts(name, system, references) for system in (candidate, champion))
    found = compare(name, ours, theirs, alpha=0.05, resamples=1000, seed=12345)
    assert found.candidate == pytest.approx(metric().corpus_score(candidate, [references]).score)
    assert found.champion == pytest.approx(metric().corpus_score(champion, [references]).score)
    assert numpy.mean(found.resampled) == pytest.approx(found.difference, abs=0.2)
    assert found.low < found.difference < found.high
    assert len(found.resampled) == 1000


def test_a_translation_without_a_single_match_scores_nothing():
    counts = segment_counts("BLEU", ["x y z"] * 5, ["a b c"] * 5)
    found = compare("BLEU", counts, counts, alpha=0.05, resamples=100, seed=1)
    assert (found.low, found.high, found.candidate) == (0.0, 0.0, 0.0)


def test_the_number_of_missing_segments_makes_the_interval_as_wide_as_the_margin(corpus):
    candidate, champion, references = corpus
    ours, theirs = (segment_counts("chrF", system, references) for system in (candidate, champion))
    few = compare("chrF", ours[:100], theirs[:100], alpha=0.05, resamples=2000, seed=1)
    all_of_them = compare("chrF", ours, theirs, alpha=0.05, resamples=2000, seed=1)
    assert segments_missing(few, margin=all_of_them.width) == pytest.approx(200, rel=0.4)


@pytest.mark.parametrize("mode", ["superiority", "non_inferiority"])
def test_no_more_candidates_at_the_limit_pass_than_stated(mode, corpus):
    """All segments are the population, so that the true difference is known; test sets are drawn from it."""
    candidate, champion, references = corpus
    ours, theirs = (segment_counts("chrF", system, references) for system in (candidate, champion))
    generator = numpy.random.default_rng(11)
    trials, promoted = 200, 0
    # At the limit of superiority the two are equal: each segment's outputs are given to either at random.
    true_difference = corpus_score("chrF", theirs) - corpus_score("chrF", ours)
    for _ in range(trials):
        rows = generator.integers(0, len(references), size=200)
        first, second = theirs[rows], ours[rows]
        if mode == "superiority":
            swapped = generator.random(200) < 0.5
            first, second = (
                numpy.where(swapped[:, None], one, other) for one, other in ((second, first), (first, second))
            )
        found = compare("chrF", first, second, alpha=0.05, resamples=200, seed=12345)
        promoted += decide(found, mode=mode, margin=-true_difference) == "promoted"
    # 17 of 200: the 0.97 quantile of a binomial distribution with the stated rate of 5 %.
    assert promoted <= 17
