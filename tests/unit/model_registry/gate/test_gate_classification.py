"""The gate on classifiers: verdicts on made-up outputs, guards against the champion, and what is told of them."""

import dataclasses
import io
import json
import random
from collections.abc import Callable

import numpy
import pytest
from rich.console import Console

from dragoman.bundle.manifest import Score
from dragoman.predictor import Outputs
from model_registry.gate.held_out import HeldOut, HeldOutSet, from_lines
from model_registry.gate.measurements import Measurements
from model_registry.gate.settings import Agreement, Range, task_settings
from model_registry.gate.verdict import Judgement, judge
from model_registry.promotion import report
from scoring.base import Metric, Share, score_of
from scoring.bootstrap import RESAMPLES, SEED
from scoring.held_out import HeldOutItem
from scoring.table import METRICS, metric

SETTINGS = dataclasses.replace(task_settings("text_classification"), resamples=400)
SIZES = {"earn": 400, "acq": 300, "crude": 150, "trade": 100, "ship": 40, "grain": 10}
REFERENCES = [label for label, size in SIZES.items() for _ in range(size)]
LABELS = list(SIZES)


def held_out(references: list[str]) -> HeldOut:
    items = [HeldOutItem(id=str(number), input=f"text {number}", reference=it) for number, it in enumerate(references)]
    return HeldOut(sets=(HeldOutSet(label="toy/test@1a2b3c4d", items=items),))


HELD_OUT = held_out(REFERENCES)


@dataclasses.dataclass(frozen=True)
class Classification:
    label: str


def system(answers: list[str], *, confidence: float = 0.97, **measured: object) -> Measurements:
    """Measure a system that gives these labels, each with this probability."""
    plain = tuple({label: confidence, "other": 1 - confidence} for label in answers)
    outputs = Outputs(values=tuple(map(Classification, answers)), plain=plain, refused={})
    fields = {"outputs": outputs, "changed_in_batches": 0.0, "p95_ms": 20.0, "size_mb": 10.0}
    return Measurements(**{**fields, **measured})


def noised(share: float, *, seed: int, references: list[str] = REFERENCES) -> list[str]:
    """Answer wrongly in about this share of the items."""
    chooser = random.Random(seed)
    return [chooser.choice(LABELS) if chooser.random() < share else label for label in references]


def without(*labels: str) -> list[str]:
    """Answer right, but never with these labels."""
    return ["earn" if label in labels else label for label in REFERENCES]


def settings(**changes: object):
    return dataclasses.replace(SETTINGS, **changes)


def shown(judgement: Judgement) -> str:
    text = io.StringIO()
    report.show_judgement(judgement, "toy/2", "toy/1", Console(file=text, width=report.WIDTH))
    return text.getvalue()


def test_better_worse_noised_and_the_same_get_their_verdicts():
    good, weak = system(noised(0.03, seed=1)), system(noised(0.06, seed=2))
    unguarded = settings(guards={})
    for mode in ("non_inferiority", "superiority"):
        assert judge(good, weak, HELD_OUT, settings(guards={}, mode=mode)).verdict == "promoted"
        assert judge(weak, good, HELD_OUT, settings(guards={}, mode=mode)).verdict == "rejected"
    noise = judge(system(noised(0.3, seed=3)), good, HELD_OUT, SETTINGS)
    assert noise.verdict == "rejected"
    assert "its class_recall/earn is " in noise.reason
    assert judge(good, good, HELD_OUT, SETTINGS).verdict == "promoted"
    assert judge(good, good, HELD_OUT, settings(mode="superiority")).verdict == "rejected"
    too_close = judge(system(noised(0.04, seed=1)), system(noised(0.04, seed=2)), HELD_OUT, unguarded)
    assert (too_close.verdict, "interval wider than margin" in too_close.reason) == ("undecided", True)


def test_the_exact_test_counts_the_items_that_only_one_gets_right():
    ours, theirs = list(REFERENCES), list(REFERENCES)
    # The counts of an SVM against a logistic regression on R8, and the p-value that SciPy gives for them.
    ours[:6], theirs[6:21] = ["acq"] * 6, ["acq"] * 15
    judgement = judge(system(ours), system(theirs), HELD_OUT, SETTINGS)
    test = judgement.paired_test
    assert (test.name, test.better, test.worse) == ("exact McNemar", 15, 6)
    assert test.p == pytest.approx(0.0783538818)
    assert "exact McNemar: 15 items better, 6 worse, p = 0.078" in shown(judgement)
    assert report.judgement_as_dict(judgement)["paired_test"]["worse"] == 6
    assert judge(system(ours), None, HELD_OUT, SETTINGS).paired_test is None


def test_a_class_that_is_given_up_rejects_whatever_the_score_is():
    judgement = judge(system(without("ship")), system(noised(0.1, seed=1)), HELD_OUT, settings(margin=10.0))
    assert judgement.verdict == "rejected"
    recall = next(guard for guard in judgement.guards if guard.name == "class_recall/ship")
    assert (recall.value, recall.passed) == (0.0, False)
    assert f"its class_recall/ship is 0, accepted is at least {recall.champion - 5:g} (the champion's less 5)" in (
        judgement.reason
    )
    assert "its predicted_ratio/ship is 0, accepted is at least 0.5 and at most 2" in judgement.reason


def test_a_class_of_too_few_items_is_told_and_fails_nothing():
    judgement = judge(system(without("grain")), system(REFERENCES), HELD_OUT, settings(margin=10.0, guards=RECALL))
    assert judgement.verdict == "promoted"
    grain = next(guard for guard in judgement.guards if guard.name == "class_recall/grain")
    assert (grain.value, grain.passed, grain.note) == (None, True, "too few (10)")
    assert "too few (10)" in shown(judgement)


RECALL = {"class_recall": Range(fall=5.0)}


def recall_of_ship(lost: int) -> Judgement:
    """Judge a model that has lost so many of the forty items of a class."""
    answers, left = [], lost
    for label in REFERENCES:
        answers.append("earn" if label == "ship" and left > 0 else label)
        left -= label == "ship"
    return judge(system(answers), system(REFERENCES), HELD_OUT, settings(margin=10.0, guards=RECALL))


def test_a_class_that_has_lost_items_by_chance_rejects_nobody():
    judgement = recall_of_ship(4)
    assert judgement.verdict == "promoted"
    (ship,) = (guard for guard in judgement.guards if guard.name == "class_recall/ship")
    assert (ship.value, ship.champion, ship.passed) == (90, 100, True)
    assert ship.accepted == "at least 95 (the champion's less 5)"
    assert ship.note == "not surely: 0 items better, 4 worse, p = 0.125"
    flat = " ".join(shown(judgement).replace("│", " ").split())
    assert "passed, not surely:" in flat
    # Five of five that changed are a chance of one in 32, which is below alpha.
    rejection = recall_of_ship(5)
    assert rejection.verdict == "rejected"
    assert rejection.reason == "its class_recall/ship is 87.5, accepted is at least 95 (the champion's less 5)"


def calibrated(items: int, *, boast: float = 0.0) -> tuple[Measurements, HeldOut]:
    """Measure a system that is right as often as it says, or less often by ``boast``."""
    chooser = random.Random(5)
    tops = [0.55 + 0.45 * chooser.random() for _ in range(items)]
    answers = ["earn" if chooser.random() < top - boast else "acq" for top in tops]
    plain = tuple({"earn": top, "acq": 1 - top} for top in tops)
    outputs = Outputs(values=tuple(map(Classification, ["earn"] * items)), plain=plain, refused={})
    return Measurements(outputs=outputs, changed_in_batches=0.0, p95_ms=20.0, size_mb=10.0), held_out(answers)


def test_the_noise_of_a_small_test_set_is_no_calibration_error():
    guards = settings(guards={"ECE": Range(max=5.0)})
    few, sets = calibrated(200)
    judgement = judge(few, None, sets, guards)
    (guard,) = (guard for guard in judgement.guards if guard.name == "ECE")
    assert guard.value > 5
    assert (judgement.verdict, guard.passed) == ("promoted", True)
    assert guard.note.startswith("not surely: 90 % interval ")
    boasting, sets = calibrated(200, boast=0.2)
    assert judge(boasting, None, sets, guards).reason.startswith("its ECE is ")


def test_a_calibration_error_must_surely_have_risen():
    guards = settings(margin=30.0, guards={"ECE": Range(rise=0.1)}, minimum_items=100)
    champion, sets = calibrated(400)
    tops = [next(iter(output.values())) for output in champion.outputs.plain]

    def shifted(by: float) -> Measurements:
        plain = tuple({"earn": min(1.0, top + by), "acq": max(0.0, 1 - top - by)} for top in tops)
        return dataclasses.replace(champion, outputs=dataclasses.replace(champion.outputs, plain=plain))

    for by, verdict in ((0.02, "promoted"), (0.15, "rejected")):
        judgement = judge(shifted(by), champion, sets, guards)
        (guard,) = (guard for guard in judgement.guards if guard.name == "ECE")
        assert guard.value > guard.champion + 0.1
        assert judgement.verdict == verdict
        assert guard.note.startswith("not surely: champion minus candidate ") == (verdict == "promoted")


AGREEMENT = {"mirrored": Agreement(min=80.0, fall=5.0)}


def test_answers_that_a_change_of_the_input_turns_reject_whatever_the_score_is():
    def kept(share: float) -> Measurements:
        return dataclasses.replace(
            system(REFERENCES), agreement={"mirrored": Share([row < 200 * share for row in range(200)])}
        )

    chosen = settings(guards={}, agreement=AGREEMENT)
    judgement = judge(kept(0.78), None, HELD_OUT, chosen)
    assert (judgement.verdict, judgement.reason) == (
        "rejected",
        "its agreement/mirrored is 78, accepted is at least 80",
    )
    judgement = judge(kept(0.85), kept(0.95), HELD_OUT, chosen)
    assert judgement.reason == (
        "its agreement/mirrored is 85, accepted is at least 80 and at least 90 (the champion's less 5)"
    )
    judgement = judge(kept(0.92), kept(0.95), HELD_OUT, chosen)
    assert judgement.verdict == "promoted"
    line = next(line for line in shown(judgement).splitlines() if "agreement/mirrored" in line)
    assert line.split("│")[2:4] == [" 92        ", " 95       "]


def test_a_metric_guards_when_it_is_surely_worse_by_its_margin():
    # Three classes of fifteen items lost among a thousand: 4.5 points of accuracy, but half of macro-F1.
    references = ["earn"] * 500 + ["acq"] * 455 + ["a"] * 15 + ["b"] * 15 + ["c"] * 15
    candidate = ["earn" if label in "abc" else label for label in references]
    loose = settings(margin=10.0, guards={"macro-F1": Range(margin=3.0)})
    judgement = judge(system(candidate), system(references), held_out(references), loose)
    assert judgement.verdict == "rejected"
    (guard,) = (guard for guard in judgement.guards if guard.name == "macro-F1")
    assert guard.champion == 100
    assert guard.accepted == "not surely worse than the champion's by 3"
    assert "its macro-F1 is 39.14, accepted is not surely worse than the champion's by 3 (difference -60.86" in (
        judgement.reason
    )
    # Two wrong items of the smallest class are more than three points, but not surely.
    candidate = [*references[:-2], "earn", "earn"]
    judgement = judge(system(candidate), system(references), held_out(references), loose)
    assert judgement.verdict == "promoted"


def test_calibration_has_a_limit_of_its_own_and_one_against_the_champion():
    guards = {"ECE": Range(max=5.0, rise=2.0)}
    right = list(REFERENCES)
    for confidence, champion, accepted in ((0.9, 0.9, "at most 5 and at most 12 "), (0.96, 0.99, "at most 3 ")):
        ours, theirs = system(right, confidence=confidence), system(right, confidence=champion)
        judgement = judge(ours, theirs, HELD_OUT, settings(guards=guards))
        assert judgement.verdict == "rejected"
        assert judgement.reason.startswith(f"its ECE is {100 - 100 * confidence:g}, accepted is at most 5 and ")
        assert f"{accepted}(the champion's plus 2)" in judgement.reason
    assert judge(system(right), system(right, confidence=0.98), HELD_OUT, settings(guards=guards)).verdict == "promoted"


def baseline(name: str, value: float, *, digest: str = "1a2b3c4d", of: str = "accuracy") -> Score:
    return Score(
        metric=of,
        value=value,
        low=value - 1,
        high=value + 1,
        items=len(REFERENCES),
        signature=metric(of).interval_signature(RESAMPLES, SEED),
        test_set=f"r8/test@{digest}",
        engine=name,
    )


BASELINES = (
    baseline("majority class", 40.0),
    baseline("majority class", 9.0, of="macro-F1"),
    baseline("majority class", 99.0, digest="ffffffff"),
    baseline("TF-IDF + linear SVM", 97.67),
)


def test_a_first_champion_must_do_better_than_the_trivial_baseline_on_the_same_items():
    judgement = judge(system(["earn"] * len(REFERENCES), baselines=BASELINES), None, HELD_OUT, settings(guards={}))
    assert judgement.verdict == "rejected"
    assert judgement.reason == (
        "its accuracy on toy/test@1a2b3c4d is 40.00, and a first champion must do better than the baseline majority "
        "class (40.00): train longer or with more data, or set above_baseline: false"
    )
    alone = settings(guards={}, above_baseline=False)
    assert judge(system(["earn"] * len(REFERENCES), baselines=BASELINES), None, HELD_OUT, alone).verdict == "promoted"
    # One of no use to users may still be better than nothing: only the first baseline is a limit.
    assert judge(system(noised(0.1, seed=1), baselines=BASELINES), None, HELD_OUT, SETTINGS).verdict == "promoted"


def test_the_baselines_of_the_same_items_and_metric_stand_in_the_report():
    judgement = judge(system(REFERENCES, baselines=BASELINES), system(REFERENCES), HELD_OUT, SETTINGS)
    assert [(one.engine, one.value) for one in judgement.baselines] == [
        ("majority class", 40.0),
        ("TF-IDF + linear SVM", 97.67),
    ]
    line = next(line for line in shown(judgement).splitlines() if "TF-IDF + linear SVM" in line)
    assert "97.67" in line
    assert "96.67 to 98.67" in line
    assert "Baselines" not in shown(judge(system(REFERENCES), None, HELD_OUT, SETTINGS))


def test_limits_against_a_champion_hold_nothing_against_the_first_one():
    judgement = judge(system(without("ship")), None, HELD_OUT, settings(guards=RECALL))
    assert judgement.verdict == "promoted"
    recall = next(guard for guard in judgement.guards if guard.name == "class_recall/ship")
    assert (recall.value, recall.accepted) == (0.0, "anything, without a champion")


def test_of_many_classes_the_report_shows_those_that_failed_and_the_reason_names_one():
    references = [f"class {number:02}" for number in range(30) for _ in range(40)]
    candidate = [references[0] if row < 40 * 5 else label for row, label in enumerate(references)]
    judgement = judge(system(candidate), system(references), held_out(references), settings(guards=RECALL))
    assert judgement.reason == (
        "its class_recall/class 01 is 0, accepted is at least 95 (the champion's less 5), likewise 3 more"
    )
    text = shown(judgement)
    assert text.count("FAILED") == 4
    assert "26 more" in text
    assert "class_recall/class 29" not in text
    assert len(report.judgement_as_dict(judgement)["guards"]) == 33


def test_a_label_in_brackets_is_shown_as_it_is():
    references = [label for label in ("[bold]", "[/bold]") for _ in range(300)]
    judgement = judge(system(references), system(references), held_out(references), settings(guards=RECALL))
    text = shown(judgement)
    assert "class_recall/[bold]" in text
    assert "class_recall/[/bold]" in text


def test_the_note_on_a_metric_where_less_is_better_says_so():
    chosen = settings(guards={"ECE": Range(margin=0.0)})
    candidate = system(REFERENCES, confidence=0.9)
    reason = judge(candidate, system(REFERENCES, confidence=0.99), HELD_OUT, chosen).reason
    assert "is 10, accepted is not surely worse than the champion's by 0 (champion minus candidate -9.00, " in reason


class Ratio(Metric):
    """A ratio of sums, lower is better, without a value where nothing was answered."""

    name, unit, higher_is_better, digits = "ratio", "bits", False, 4

    def counts(self, outputs, references):
        return numpy.array([[len(output), float(output.get("earn", 0))] for output in outputs])

    def score(self, sums):
        return float(numpy.float64(sums[1]) / sums[0]) if sums[0] else float("nan")


@pytest.fixture
def by_ratio(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Judgement]:
    monkeypatch.setitem(METRICS, "ratio", f"{__name__}:Ratio")

    def judged(candidate: Measurements, champion: Measurements | None) -> Judgement:
        chosen = settings(metric="ratio", margin=0.01, guards={"ratio": Range(max=2.0)})
        return judge(candidate, champion, HELD_OUT, chosen)

    return judged


def refusing() -> Measurements:
    nothing = Outputs(values=(None,) * len(REFERENCES), plain=({},) * len(REFERENCES), refused={})
    return dataclasses.replace(system(REFERENCES), outputs=nothing)


def test_a_score_without_a_value_is_null_in_the_report_and_told(by_ratio):
    for champion in (None, system(REFERENCES)):
        judgement = by_ratio(refusing(), champion)
        assert judgement.verdict == "rejected"
        assert judgement.reason == "its ratio could not be measured, accepted is at most 2"
        found = json.loads(json.dumps(report.judgement_as_dict(judgement), allow_nan=False))
        assert (found["sets"][0]["candidate"], found["guards"][0]["value"]) == (None, None)
        assert "no value" in shown(judgement)
    judgement = by_ratio(system(REFERENCES), refusing())
    assert judgement.verdict == "undecided"
    assert judgement.reason == "the ratio of the champion has no value on these items; give more or other ones"
    json.dumps(report.judgement_as_dict(judgement), allow_nan=False)


def test_figures_have_the_digits_of_their_metric(by_ratio):
    ours, theirs = system(REFERENCES, confidence=0.5), system(REFERENCES, confidence=0.5625)
    judgement = by_ratio(ours, theirs)
    assert "ratio 0.1000 against the champion's 0.1125, champion minus candidate +0.0125 (90 %" in judgement.reason
    assert "│ 0.1000 " in shown(judgement)
    assert score_of(metric("ratio"), ours.outputs.plain, REFERENCES) == pytest.approx(0.1, abs=1e-3)


def test_two_files_of_lines_are_texts_and_labels(tmp_path):
    (tmp_path / "texts").write_text("".join(f"text {row}\n" for row in range(1000)), encoding="utf-8")
    (tmp_path / "labels").write_text("".join(f"{label}\n" for label in REFERENCES), encoding="utf-8")
    given = from_lines(tmp_path / "texts", tmp_path / "labels")
    assert judge(system(REFERENCES), None, given, SETTINGS).sets[0].candidate == 100
