import dataclasses
import shutil

import dragoman
from dragoman.bundle.store import open_bundle
from dragoman.predictor import Outputs, answer_all
from model_registry.gate.comparison import judge_competitors, loaded
from model_registry.gate.guards import check_guards
from model_registry.gate.held_out import HeldOut, HeldOutSet
from model_registry.gate.measurements import Measurements, changed_in_batches, p95_latencies_ms, spread
from model_registry.gate.settings import Limit, Range, SampledShare, task_settings
from scoring.held_out import HeldOutItem

SETTINGS = task_settings("translation")
SOURCES = [f"the source number {number} is here" for number in range(20)]
REFERENCES = [f"die Quelle Nummer {number} ist hier" for number in range(20)]


@dataclasses.dataclass(frozen=True)
class Translation:
    text: str
    finish_reason: str


def failed(hypotheses, *, cut=(), sources=SOURCES, references=REFERENCES, **measured):
    values = [Translation(text, "length" if row in cut else "stop") for row, text in enumerate(hypotheses)]
    outputs = Outputs(values=tuple(values), plain=tuple(hypotheses), refused={})
    fields = {"outputs": outputs, "changed_in_batches": 0.0, "p95_ms": 10.0, "size_mb": 5.0}
    candidate, champion = (Measurements(**{**fields, **changes}) for changes in (measured, {}))
    guards = check_guards(candidate, champion, sources, references, SETTINGS)
    return {guard.name for guard in guards if not guard.passed}


def test_good_translations_pass_every_guard():
    assert failed(REFERENCES) == set()


def test_each_fault_fails_its_own_guard():
    assert failed(["", *REFERENCES[1:]]) == {"empty_share"}
    assert failed([*SOURCES[:2], *REFERENCES[2:]]) == {"copied_share"}
    assert failed(["ja ja ja ja Nummer null hier"] * 2 + REFERENCES[2:]) == {"repeated_share"}
    assert failed(REFERENCES, cut=[3, 4]) == {"repeated_share"}
    assert failed([f"{text} {text}" for text in REFERENCES]) == {"length_ratio"}
    assert failed([text[:8] for text in REFERENCES]) == {"length_ratio", "brevity_penalty"}
    assert failed(REFERENCES, changed_in_batches=0.1) == {"changed_in_batches_share"}
    assert failed(REFERENCES, p95_ms=16.0) == {"latency_ratio"}
    assert failed(REFERENCES, p95_ms=None) == {"latency_ratio"}
    assert failed(REFERENCES, size_mb=11.0) == {"size_ratio"}


def test_a_champion_that_answers_nothing_is_no_measure_of_speed():
    outputs = Outputs(values=tuple(map(Translation, REFERENCES, ["stop"] * 20)), plain=tuple(REFERENCES), refused={})
    candidate = Measurements(outputs=outputs, changed_in_batches=0.0, p95_ms=10.0, size_mb=5.0)
    champion = dataclasses.replace(candidate, p95_ms=None)
    guards = check_guards(candidate, champion, SOURCES, REFERENCES, SETTINGS)
    assert all(guard.passed for guard in guards)
    assert "latency_ratio" not in {guard.name for guard in guards}


def test_what_the_references_do_as_well_is_no_fault():
    names = ["Berlin", "OK", "bla bla bla bla", " "]
    assert failed(names * 5, cut=[2], sources=names * 5, references=names * 5) == set()


def test_a_guard_has_the_limits_of_the_settings_on_either_side():
    outputs = Outputs(values=(None, Translation("ja", "stop")), plain=("", "ja"), refused={0: "refused"})
    measured = Measurements(outputs=outputs, changed_in_batches=None, p95_ms=None, size_mb=5.0)
    guards = {"empty_share": Range(min=0.1, max=0.4), "copied_share": Range(max=0.0)}
    settings = dataclasses.replace(
        SETTINGS, guards=guards, changed_in_batches_share=SampledShare(), size_mb=Limit(max=5)
    )
    found = check_guards(measured, None, ["yes", "yes"], ["ja", "ja"], settings)
    assert [(guard.name, guard.value, guard.accepted, guard.passed) for guard in found] == [
        ("empty_share", 0.5, "at least 0.1 and at most 0.4", False),
        ("copied_share", 0.0, "at most 0", True),
        ("size_mb", 5.0, "at most 5", True),
    ]


def test_a_packaged_model_is_measured_as_it_is_served(tiny_bundle, toy_sentences):
    predictor = dragoman.load(tiny_bundle)
    outputs = answer_all(predictor, [*toy_sentences[:9], " "])
    assert len(outputs.plain) == len(outputs.values) == 10
    assert set(outputs.refused) == {9}
    assert (outputs.plain[9], outputs.values[9]) == ("", None)
    assert outputs.plain[0] == outputs.values[0].text
    assert changed_in_batches(predictor, toy_sentences, sample=20) == 0.0
    timed = p95_latencies_ms([predictor, predictor], toy_sentences, sample=3)
    assert all(milliseconds > 0 for milliseconds in timed)
    assert p95_latencies_ms([predictor], [" "], sample=3) == [None]
    predictor.close()


class Counting:
    """A predictor that counts how often it is called."""

    def __init__(self, predictor) -> None:
        self.predictor, self.bundle, self.task, self.calls = predictor, predictor.bundle, predictor.task, 0

    def __call__(self, items):
        self.calls += 1
        return self.predictor(items)

    def warm_up(self) -> None:
        pass

    def close(self) -> None:
        self.predictor.close()


def test_what_no_limit_asks_for_is_not_measured(tiny_bundle, toy_sentences):
    items = [HeldOutItem(id=text, input=text, reference=text) for text in toy_sentences[:8]]
    held_out = HeldOut(sets=(HeldOutSet(label="toy/test@0", items=items),))
    off = {"latency_p95_ms": Limit(), "latency_ratio": Limit(), "changed_in_batches_share": SampledShare()}

    def calls(*, champion: bool, **limits: object) -> int:
        settings = dataclasses.replace(SETTINGS, **{**off, **limits})
        with loaded("toy", open_bundle(tiny_bundle)) as competitor:
            competitor.predictor = Counting(competitor.predictor)
            judge_competitors(competitor, competitor if champion else None, held_out, settings)
            return competitor.predictor.calls

    assert calls(champion=True) == 1
    assert calls(champion=False, latency_ratio=Limit(max=1.5)) == 1
    assert calls(champion=True, latency_ratio=Limit(max=1.5)) > 8
    assert calls(champion=False, latency_p95_ms=Limit(max=1e6)) > 8
    assert calls(champion=False, changed_in_batches_share=SampledShare(max=0.0)) > 8


def test_a_bundle_that_was_verified_is_not_verified_again_to_be_loaded(tiny_bundle, tmp_path):
    bundle = open_bundle(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    (bundle.path / "MODEL_CARD.md").write_text("changed since", encoding="utf-8")
    with loaded("toy", bundle) as competitor:
        assert competitor.bundle is bundle


def test_a_sample_is_spread_over_all_items():
    numbers = [str(number) for number in range(100)]
    assert spread(numbers, 4) == ["0", "25", "50", "75"]
    assert spread(numbers[:3], 10) == ["0", "1", "2"]
