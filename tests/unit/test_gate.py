import dataclasses

import pytest

from dragoman.manifest import Decoding, Languages, Limits, Manifest, Preprocessing, Provenance, Score
from model_registry.gate import judge

SIGNATURE = "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0"


def manifest(*scores: Score, target: str = "de") -> Manifest:
    return Manifest(
        name="toy",
        task="translation",
        languages=Languages(target=target),
        preprocessing=Preprocessing(),
        decoding=Decoding(),
        limits=Limits(),
        provenance=Provenance(config_digest="0", corpus_fingerprint="0"),
        scores=scores,
        engines=("ct2-int8",),
        files=(),
    )


def chrf(value: float, test_set: str = "phrasebook test") -> Score:
    return Score(
        metric="chrF",
        value=value,
        signature=SIGNATURE,
        test_set=test_set,
        segments=500,
        low=value - 1,
        high=value + 1,
        engine="ct2-int8",
    )


def test_the_first_champion_needs_no_more_than_a_score():
    assert judge(manifest(chrf(3.0)), None).accepted


def test_a_bundle_without_a_score_is_rejected_even_as_the_first():
    verdict = judge(manifest(), None)
    assert not verdict.accepted
    assert "has no chrF score" in verdict.reason


@pytest.mark.parametrize("value", [60.0, 60.001, 99.0])
def test_a_candidate_that_is_not_below_the_champion_is_accepted(value):
    assert judge(manifest(chrf(value)), manifest(chrf(60.0))).accepted


def test_a_rejection_gives_both_values_and_the_test_set():
    verdict = judge(manifest(chrf(59.99)), manifest(chrf(60.0)))
    assert not verdict.accepted
    assert verdict.reason == "its chrF 59.9900 is below the champion's 60.0000 on phrasebook test (500 segments)"


def test_validation_decides_so_that_test_sets_stay_unseen():
    candidate = manifest(chrf(90.0, "corpus/validation"), chrf(50.0, "corpus/test"))
    champion = manifest(chrf(80.0, "corpus/validation"), chrf(51.0, "corpus/test"))
    assert judge(candidate, champion).accepted
    assert not judge(champion, candidate).accepted
    assert "corpus/test" not in judge(champion, candidate).reason


def test_being_worse_on_one_shared_set_is_enough_for_a_rejection():
    candidate = manifest(chrf(90.0, "first"), chrf(50.0, "second"))
    champion = manifest(chrf(80.0, "first"), chrf(51.0, "second"))
    verdict = judge(candidate, champion)
    assert not verdict.accepted
    assert "on second" in verdict.reason
    assert "first" not in verdict.reason


@pytest.mark.parametrize(
    "change",
    [{"test_set": "newstest"}, {"segments": 499}, {"signature": "other"}, {"engine": "torch"}, {"metric": "BLEU"}],
)
def test_scores_that_were_not_measured_alike_are_not_compared(change):
    other = dataclasses.replace(chrf(99.0), **change)
    verdict = judge(manifest(other), manifest(chrf(60.0)))
    assert not verdict.accepted
    if change != {"metric": "BLEU"}:
        assert "cannot be compared" in verdict.reason
        assert "phrasebook test (500, ct2-int8)" in verdict.reason


def test_another_language_pair_is_another_model():
    verdict = judge(manifest(chrf(99.0), target="fr"), manifest(chrf(60.0)))
    assert not verdict.accepted
    assert "translation en-fr" in verdict.reason
    assert "translation en-de" in verdict.reason
