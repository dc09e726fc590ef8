from dataclasses import dataclass

import numpy
import pytest
from sacrebleu.metrics import BLEU, CHRF

from scoring.base import Metric, score_of
from scoring.table import guard, metric
from scoring.translation import is_repeated

WORDS = "der die das Mann Frau Kind sieht kauft bringt rotes Auto Haus Zug heute morgen gern".split()  # noqa: SIM905 - words read better than quoted words
SACREBLEU = {"chrF": CHRF, "BLEU": BLEU, "BLEU-lc": lambda: BLEU(lowercase=True)}

SOURCES = [f"the source number {number} is here" for number in range(20)]
REFERENCES = [f"die Quelle Nummer {number} ist hier" for number in range(20)]


@dataclass(frozen=True)
class Translation:
    text: str
    finish_reason: str = "stop"


def noisy(references: list[str], seed: int) -> list[str]:
    generator = numpy.random.default_rng(seed)
    return [
        " ".join(generator.choice(WORDS) if generator.random() < 0.3 else word for word in text.split())
        for text in references
    ]


@pytest.mark.parametrize("name", SACREBLEU)
def test_scores_and_signatures_are_those_of_sacrebleu(name):
    outputs = noisy(REFERENCES, 3)
    ours, theirs = metric(name), SACREBLEU[name]()
    assert score_of(ours, outputs, REFERENCES) == theirs.corpus_score(outputs, [REFERENCES]).score
    assert ours.signature() == str(theirs.get_signature())
    theirs.corpus_score(outputs, [REFERENCES], n_bootstrap=1000)
    assert ours.interval_signature(1000, 12345) == str(theirs.get_signature())
    assert (ours.name, ours.unit, ours.higher_is_better) == (name, "points", True)


def test_scores_of_parts_come_from_the_sums_of_their_counts():
    outputs, bleu = noisy(REFERENCES, 3), metric("BLEU")
    counts = bleu.counts(outputs, REFERENCES)
    assert len(counts) == 20
    assert bleu.score(counts[:7].sum(axis=0)) == score_of(bleu, outputs[:7], REFERENCES[:7])


def test_a_translation_without_a_single_match_scores_nothing():
    assert [score_of(metric(name), ["x y z"] * 5, ["a b c"] * 5) for name in SACREBLEU] == [0.0, 0.0, 0.0]


def test_a_plain_metric_needs_counts_and_score_alone():
    class Accuracy(Metric):
        name = "accuracy"

        def counts(self, outputs, references):
            rows = zip(outputs, references, strict=True)
            return numpy.array([[output == reference, 1] for output, reference in rows], float)

        def score(self, sums):
            return float(100 * sums[0] / sums[1])

    assert score_of(Accuracy(), [1, 2, 3, 4], [1, 2, 3, 5]) == 75.0
    assert Accuracy().interval_signature(1000, 1) == "accuracy|bs:1000|seed:1"


def test_an_unknown_name_is_told_with_the_known_ones():
    with pytest.raises(ValueError, match="there is no metric 'TER'; known are chrF, BLEU"):
        metric("TER")
    with pytest.raises(ValueError, match="there is no guard 'speed'; known are length_ratio, "):
        guard("speed")


def guarded(texts, *, cut=(), sources=SOURCES, references=REFERENCES) -> dict[str, float]:
    values = [Translation(text, "length" if index in cut else "stop") for index, text in enumerate(texts)]
    return {name: guard(name)(sources, values, references) for name in GOOD}


GOOD = {"length_ratio": 1.0, "brevity_penalty": 1.0, "empty_share": 0, "copied_share": 0, "repeated_share": 0}


def test_good_translations_have_the_shape_of_their_references():
    assert guarded(REFERENCES) == GOOD


def test_each_fault_shows_in_its_own_guard():
    assert guarded(["", *REFERENCES[1:]])["empty_share"] == 0.05
    assert guarded([*SOURCES[:2], *REFERENCES[2:]])["copied_share"] == 0.1
    assert guarded(["ja ja ja ja Nummer null hier"] * 2 + REFERENCES[2:])["repeated_share"] == 0.1
    assert guarded(REFERENCES, cut=[3, 4]) == {**GOOD, "repeated_share": 0.1}
    assert guarded([f"{text} {text}" for text in REFERENCES])["length_ratio"] == 2.0
    assert guarded([text[:8] for text in REFERENCES])["brevity_penalty"] < 0.8


def test_a_refused_item_counts_as_empty():
    values = [None, *map(Translation, REFERENCES[1:])]
    assert guard("empty_share")(SOURCES, values, REFERENCES) == 0.05
    assert guard("repeated_share")(SOURCES, values, REFERENCES) == 0
    assert guard("length_ratio")(SOURCES, values, REFERENCES) == pytest.approx(0.95)


def test_what_the_references_do_as_well_is_no_fault():
    names = ["Berlin", "OK", "bla bla bla bla", " "] * 5
    assert guarded(names, cut=[2], sources=names, references=names) == GOOD


@pytest.mark.parametrize("text", ["a a a a", "x the cat the cat the cat the cat y", "1 2 3 4 1 2 3 4 1 2 3 4 1 2 3 4"])
def test_one_to_four_words_four_times_in_a_row_are_repeated(text):
    assert is_repeated(text)


@pytest.mark.parametrize(
    "text", ["", "no, no, no", "no no no", "a b a b a b", "a b c d e a b c d e a b c d e a b c d e"]
)
def test_fewer_times_or_longer_phrases_are_not(text):
    assert not is_repeated(text)
