import dataclasses
import random

import numpy
import pytest

from dragoman.bundle.manifest import Manifest, Provenance
from dragoman.engines.seq2seq import Decoding
from dragoman.predictor import Outputs
from dragoman.tasks.translation.options import Languages, Limits, Options, Preprocessing
from model_registry.gate.held_out import HeldOut, HeldOutSet
from model_registry.gate.measurements import Measurements
from model_registry.gate.settings import task_settings
from model_registry.gate.verdict import incomparable, judge
from scoring.base import Metric
from scoring.held_out import HeldOutItem
from scoring.table import METRICS

SETTINGS = dataclasses.replace(task_settings("translation"), minimum_items=100)
WORDS = "der die das Mann Frau Kind sieht kauft bringt rotes Auto Haus Zug heute morgen gern".split()  # noqa: SIM905 - words read better than quoted words
CHOOSER = random.Random(3)
REFERENCES = [" ".join(CHOOSER.choices(WORDS, k=9)) for _ in range(400)]
ITEMS = [HeldOutItem(id=row, input=f"src {row}", reference=row) for row in REFERENCES]
HELD_OUT = HeldOut(sets=(HeldOutSet(label="toy/test@1a2b3c4d", items=ITEMS),))


@dataclasses.dataclass(frozen=True)
class Translation:
    text: str
    finish_reason: str = "stop"


def system(wrong_share: float, *, seed: int, **measured: object) -> Measurements:
    """Measure a system that gets this share of the words wrong."""
    chooser = random.Random(seed)
    hypotheses = tuple(
        " ".join(chooser.choice(WORDS) if chooser.random() < wrong_share else word for word in reference.split())
        for reference in REFERENCES
    )
    outputs = Outputs(values=tuple(map(Translation, hypotheses)), plain=hypotheses, refused={})
    fields = {"outputs": outputs, "changed_in_batches": 0.0, "p95_ms": 20.0, "size_mb": 10.0}
    return Measurements(**{**fields, **measured})


def settings(**changes: object):
    return dataclasses.replace(SETTINGS, **changes)


def test_the_first_champion_passes_the_guards_alone():
    trial = judge(system(0.3, seed=1), None, HELD_OUT, SETTINGS)
    assert (trial.verdict, trial.reason, trial.comparison) == ("promoted", "first champion", None)
    assert trial.guards
    assert trial.sets[0].champion is None


def test_a_first_champion_below_the_floor_is_rejected_with_a_sentence():
    trial = judge(system(0.95, seed=1), None, HELD_OUT, settings(floor=60.0, guards={}))
    assert trial.verdict == "rejected"
    assert trial.reason == (
        f"its chrF is {trial.sets[0].candidate:.2f}, and a first champion needs at least 60 (floor of the gate): "
        "train longer or with more data, or set another floor"
    )
    assert judge(system(0.95, seed=1), None, HELD_OUT, settings(floor=None, guards={})).verdict == "promoted"
    # The floor is for those who have nothing to be compared with.
    equal = system(0.95, seed=1)
    assert judge(equal, equal, HELD_OUT, settings(floor=60.0, guards={})).verdict == "promoted"


class ErrorRate(Metric):
    """A metric that is better the lower it is."""

    name, unit, higher_is_better = "error", "percent", False

    def counts(self, outputs, references):
        rows = zip(outputs, references, strict=True)
        return numpy.array([[output != reference, 1] for output, reference in rows], float)

    def score(self, sums):
        return float(100 * sums[0] / sums[1])


def test_where_lower_is_better_the_floor_is_a_ceiling_and_a_lower_score_wins(monkeypatch):
    monkeypatch.setitem(METRICS, "error", f"{__name__}:ErrorRate")
    by_errors = {"metric": "error", "guards": {}, "margin": 5.0}
    good, bad = system(0.02, seed=1), system(0.2, seed=2)
    assert judge(good, None, HELD_OUT, settings(floor=30.0, **by_errors)).verdict == "promoted"
    rejection = judge(bad, None, HELD_OUT, settings(floor=30.0, **by_errors))
    assert rejection.verdict == "rejected"
    assert "a first champion needs at most 30" in rejection.reason
    trial = judge(good, bad, HELD_OUT, settings(**by_errors))
    assert trial.verdict == "promoted"
    assert trial.comparison.difference == trial.sets[0].difference > 0
    assert f"champion minus candidate {trial.comparison.difference:+.2f} (90 %" in trial.reason
    assert judge(bad, good, HELD_OUT, settings(**by_errors)).verdict == "rejected"


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


def test_an_interval_wider_than_the_margin_is_undecided_and_says_how_many_items_would_do():
    first, second = system(0.3, seed=1), system(0.3, seed=2)
    trial = judge(first, second, HELD_OUT, settings(margin=0.1))
    assert trial.verdict == "undecided"
    width = trial.comparison.width
    assert f"interval wider than margin ({width:.2f} > 0.1), need about " in trial.reason
    missing = int(trial.reason.split("need about ")[1].split(" ")[0])
    assert missing == pytest.approx(400 * ((width / 0.1) ** 2 - 1), abs=1)


def test_too_few_items_decide_nothing():
    trial = judge(system(0.0, seed=1), system(0.9, seed=2), HELD_OUT, settings(minimum_items=450))
    assert trial.verdict == "undecided"
    assert "400 items are fewer than minimum_items (450), need 50 more" in trial.reason


def test_a_failed_guard_rejects_the_better_model_and_is_named():
    trial = judge(system(0.0, seed=1, p95_ms=90.0), system(0.9, seed=2), HELD_OUT, SETTINGS)
    assert trial.verdict == "rejected"
    assert trial.reason == "its latency_ratio is 4.5, accepted is at most 1.5"
    assert judge(system(0.0, seed=1, changed_in_batches=0.1), None, HELD_OUT, SETTINGS).verdict == "rejected"


def test_scores_are_shown_by_set_and_pooled():
    halves = HeldOut(
        sets=(
            HeldOutSet(label="a/test@1", items=ITEMS[:100]),
            HeldOutSet(label="b/test@2", items=ITEMS[100:]),
        )
    )
    trial = judge(system(0.2, seed=1), system(0.3, seed=2), halves, SETTINGS)
    assert [(row.label, row.items) for row in trial.sets] == [("a/test@1", 100), ("b/test@2", 300)]
    assert trial.comparison.items == 400
    low, high = sorted(row.candidate for row in trial.sets)
    assert low < trial.comparison.candidate < high


def test_the_same_outputs_get_the_same_verdict():
    trials = [judge(system(0.2, seed=1), system(0.21, seed=2), HELD_OUT, SETTINGS) for _ in range(2)]
    assert trials[0] == trials[1]


def manifest(target: str) -> Manifest:
    return Manifest(
        name="toy",
        task="translation",
        options=dataclasses.asdict(
            Options(languages=Languages(target=target), preprocessing=Preprocessing(), decoding=Decoding())
        ),
        limits=dataclasses.asdict(Limits()),
        provenance=Provenance(config_digest="0", corpus_fingerprint="0"),
        scores=(),
        engines=("ct2-int8",),
        files=(),
    )


def test_another_language_pair_is_another_model():
    reason = incomparable(manifest("fr"), manifest("de"))
    assert reason == "it does translation en-fr and the champion translation en-de; register it by another name"
    assert incomparable(manifest("de"), manifest("de")) is None
    assert incomparable(manifest("de"), None) is None
