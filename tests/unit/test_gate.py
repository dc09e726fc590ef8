import dataclasses
import random

import pytest

from dragoman.manifest import Decoding, Languages, Limits, Manifest, Preprocessing, Provenance
from model_registry.gate import another_work, judge
from model_registry.gate_settings import DEFAULT_SETTINGS, load_settings
from model_registry.guards import Measured
from model_registry.held_out import HeldOut, HeldOutSet
from model_registry.outputs import Outputs

SETTINGS = dataclasses.replace(load_settings(DEFAULT_SETTINGS), minimum_segments=100)
WORDS = "der die das Mann Frau Kind sieht kauft bringt rotes Auto Haus Zug heute morgen gern".split()  # noqa: SIM905 - words read better than quoted words
CHOOSER = random.Random(3)
REFERENCES = [" ".join(CHOOSER.choices(WORDS, k=9)) for _ in range(400)]
HELD_OUT = HeldOut(sets=(HeldOutSet(label="toy/test@1a2b3c4d", pairs=[(f"src {row}", row) for row in REFERENCES]),))


def system(wrong_share: float, *, seed: int, **measured: object) -> Measured:
    """A system that gets this share of the words wrong."""
    chooser = random.Random(seed)
    hypotheses = tuple(
        " ".join(chooser.choice(WORDS) if chooser.random() < wrong_share else word for word in reference.split())
        for reference in REFERENCES
    )
    outputs = Outputs(hypotheses=hypotheses, cut=frozenset(), refused={})
    fields = {"outputs": outputs, "changed_in_batches": 0.0, "p95_ms": 20.0, "size_mb": 10.0}
    return Measured(**{**fields, **measured})


def settings(**changes: object):
    return dataclasses.replace(SETTINGS, **changes)


def test_the_first_champion_passes_the_guards_alone():
    trial = judge(system(0.3, seed=1), None, HELD_OUT, SETTINGS)
    assert (trial.verdict, trial.reason, trial.comparison) == ("promoted", "first champion", None)
    assert trial.guards
    assert trial.sets[0].champion is None


def test_a_clearly_better_candidate_is_promoted_in_either_mode_and_a_clearly_worse_one_rejected():
    better, worse = system(0.2, seed=1), system(0.3, seed=2)
    for mode in ("non_inferiority", "superiority"):
        assert judge(better, worse, HELD_OUT, settings(mode=mode)).verdict == "promoted"
        rejection = judge(worse, better, HELD_OUT, settings(mode=mode))
        assert rejection.verdict == "rejected"
        assert "against the champion's" in rejection.reason
        assert "90 % interval" in rejection.reason


def test_an_equal_candidate_ships_as_not_inferior_and_is_not_superior():
    same, other = system(0.3, seed=1), system(0.3, seed=1)
    assert judge(same, other, HELD_OUT, settings(mode="non_inferiority")).verdict == "promoted"
    assert judge(same, other, HELD_OUT, settings(mode="superiority")).verdict == "rejected"


def test_an_interval_wider_than_the_margin_is_undecided_and_says_how_many_segments_would_do():
    first, second = system(0.3, seed=1), system(0.3, seed=2)
    trial = judge(first, second, HELD_OUT, settings(margin=0.1))
    assert trial.verdict == "undecided"
    width = trial.comparison.width
    assert f"interval wider than margin ({width:.2f} > 0.1), need about " in trial.reason
    missing = int(trial.reason.split("need about ")[1].split(" ")[0])
    assert missing == pytest.approx(400 * ((width / 0.1) ** 2 - 1), abs=1)


def test_too_few_segments_decide_nothing():
    trial = judge(system(0.0, seed=1), system(0.9, seed=2), HELD_OUT, settings(minimum_segments=450))
    assert trial.verdict == "undecided"
    assert "400 segments are fewer than minimum_segments (450), need 50 more" in trial.reason


def test_a_failed_guard_rejects_the_better_model_and_is_named():
    trial = judge(system(0.0, seed=1, p95_ms=90.0), system(0.9, seed=2), HELD_OUT, SETTINGS)
    assert trial.verdict == "rejected"
    assert trial.reason == "its latency_ratio is 4.5, accepted is at most 1.5"
    assert judge(system(0.0, seed=1, changed_in_batches=0.1), None, HELD_OUT, SETTINGS).verdict == "rejected"


def test_scores_are_shown_by_set_and_pooled():
    halves = HeldOut(
        sets=(
            HeldOutSet(label="a/test@1", pairs=HELD_OUT.sets[0].pairs[:100]),
            HeldOutSet(label="b/test@2", pairs=HELD_OUT.sets[0].pairs[100:]),
        )
    )
    trial = judge(system(0.2, seed=1), system(0.3, seed=2), halves, SETTINGS)
    assert [(row.label, row.segments) for row in trial.sets] == [("a/test@1", 100), ("b/test@2", 300)]
    assert trial.comparison.segments == 400
    low, high = sorted(row.candidate for row in trial.sets)
    assert low < trial.comparison.candidate < high


def test_the_same_outputs_get_the_same_verdict():
    trials = [judge(system(0.2, seed=1), system(0.21, seed=2), HELD_OUT, SETTINGS) for _ in range(2)]
    assert trials[0] == trials[1]


def manifest(target: str) -> Manifest:
    return Manifest(
        name="toy",
        task="translation",
        languages=Languages(target=target),
        preprocessing=Preprocessing(),
        decoding=Decoding(),
        limits=Limits(),
        provenance=Provenance(config_digest="0", corpus_fingerprint="0"),
        scores=(),
        engines=("ct2-int8",),
        files=(),
    )


def test_another_language_pair_is_another_model():
    reason = another_work(manifest("fr"), manifest("de"))
    assert reason == "it does translation en-fr and the champion translation en-de; register it by another name"
    assert another_work(manifest("de"), manifest("de")) is None
    assert another_work(manifest("de"), None) is None
