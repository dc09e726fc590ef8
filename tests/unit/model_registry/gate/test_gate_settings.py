from pathlib import Path

import pytest
import yaml

from dragoman.errors import ConfigError
from model_registry.gate.settings import TASK_CONFIGS, Range, load_settings, task_settings

DEFAULT = yaml.safe_load((TASK_CONFIGS / "translation.yaml").read_text(encoding="utf-8"))["gate"]


def written(folder: Path, value: object) -> Path:
    path = folder / "gate.yaml"
    path.write_text(yaml.safe_dump(value), encoding="utf-8")
    return path


def test_every_task_has_a_gate_with_all_it_may_set():
    files = list(TASK_CONFIGS.glob("*.yaml"))
    assert files
    for file in files:
        task_settings(file.stem)


def test_the_settings_of_translation_are_read():
    settings = task_settings("translation")
    assert (settings.metric, settings.mode, settings.margin, settings.alpha) == ("chrF", "non_inferiority", 1.0, 0.05)
    assert settings.floor == 20.0
    assert settings.guards["length_ratio"] == Range(min=0.8, max=1.25)
    assert settings.guards["empty_share"] == Range(max=0.01)
    assert settings.latency_p95_ms.max is None
    assert list(settings.guards) == list(DEFAULT["guards"])


def test_a_file_holds_the_settings_or_a_section_with_them(tmp_path):
    bare = load_settings(written(tmp_path, DEFAULT))
    assert load_settings(written(tmp_path, {"gate": DEFAULT, "data": {"kind": "x"}})) == bare
    assert task_settings("translation") == bare


def test_a_plain_task_says_metric_margin_and_floor(tmp_path):
    settings = load_settings(written(tmp_path, {"metric": "BLEU", "margin": 1, "floor": None}))
    assert (settings.floor, settings.guards, settings.held_out, settings.minimum_items) == (None, {}, "test", 500)


def test_a_guard_without_limits_is_switched_off(tmp_path):
    guards = {"length_ratio": {"min": None, "max": None}, "empty_share": {}, "copied_share": {"max": 0.5}}
    assert load_settings(written(tmp_path, {**DEFAULT, "guards": guards})).guards == {"copied_share": Range(max=0.5)}


def test_a_metric_guards_by_its_name_and_limits_may_be_distances_from_the_champion(tmp_path):
    guards = {"macro-F1": {"margin": 3}, "ECE": {"max": 5, "rise": 2}, "class_recall": {"fall": 5.0}}
    found = load_settings(written(tmp_path, {**DEFAULT, "guards": guards})).guards
    assert found == {"macro-F1": Range(margin=3.0), "ECE": Range(max=5.0, rise=2.0), "class_recall": Range(fall=5.0)}
    guards = {"class_recall": {"margin": 3.0}}
    with pytest.raises(ConfigError, match=r"guards\.class_recall\.margin is for metrics \(chrF, .*\); give .* a fall"):
        load_settings(written(tmp_path, {**DEFAULT, "guards": guards}))
    with pytest.raises(ConfigError, match=r"guards\.ECE\.rise must be at least 0, got -1"):
        load_settings(written(tmp_path, {**DEFAULT, "guards": {"ECE": {"rise": -1}}}))


def test_a_whole_number_is_a_number(tmp_path):
    settings = load_settings(written(tmp_path, {**DEFAULT, "margin": 2}))
    assert settings.margin == 2.0
    assert isinstance(settings.margin, float)


def test_everything_that_is_wrong_is_told_at_once(tmp_path):
    guards = {**DEFAULT["guards"], "empty_share": {"max": "few"}, "speed": {"max": 1}, "repeated_share": {"most": 1}}
    batches = {"max": 7, "sample": 64}
    wrong = {**DEFAULT, "metric": "TER", "alpha": "small", "resamples": True, "margni": 1, "guards": guards}
    wrong["changed_in_batches_share"] = batches
    del wrong["margin"]
    with pytest.raises(ConfigError) as refusal:
        load_settings(written(tmp_path, wrong))
    message = str(refusal.value)
    assert "has 9 wrong settings" in message
    for part in (
        "margni is not a setting; the top level takes above_baseline, agreement, alpha, changed_in_batches_share",
        "did you mean margin?",
        "margin is required and not set (what a candidate may lose, or must gain, in the metric's unit)",
        "metric must be one of chrF, BLEU, BLEU-lc, accuracy, macro-F1, ECE, got 'TER'",
        "alpha must be a number, got 'small'",
        "resamples must be a whole number, got True",
        "guards.speed is not a setting; guards takes brevity_penalty, class_recall, copied_share",
        "guards.empty_share.max must be a number or null, got 'few'",
        "guards.repeated_share.most is not a setting",
        "changed_in_batches_share.max must be between 0 and 1, got 7",
    ):
        assert part in message


def test_settings_that_cannot_hold_together_are_refused(tmp_path):
    guards = {**DEFAULT["guards"], "length_ratio": {"min": 1.3, "max": 1.2}}
    with pytest.raises(ConfigError) as refusal:
        load_settings(written(tmp_path, {**DEFAULT, "alpha": 0.01, "resamples": 400, "guards": guards}))
    message = str(refusal.value)
    assert "has 2 wrong settings" in message
    assert "guards.length_ratio.min must be at most guards.length_ratio.max, got 1.3 and 1.2" in message
    assert "resamples must be at least 500 with alpha 0.01, got 400" in message
    assert load_settings(written(tmp_path, {**DEFAULT, "alpha": 0.01, "resamples": 500})).resamples == 500


@pytest.mark.parametrize("text", ["[1, 2]", "", "just words", "a: [unclosed", "gate: 3", "gate: {guards: 3}"])
def test_what_is_no_group_of_settings_is_refused(tmp_path, text):
    path = tmp_path / "gate.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"gate\.yaml"):
        load_settings(path)
    with pytest.raises(ConfigError, match="cannot read the gate's settings"):
        load_settings(tmp_path / "absent.yaml")


def test_a_task_without_a_gate_is_told_what_it_lacks(tmp_path, monkeypatch):
    written(tmp_path, {"task": {"name": "gate"}, "data": {"name": "numbers"}})
    monkeypatch.setattr("model_registry.gate.settings.TASK_CONFIGS", tmp_path)
    with pytest.raises(
        ConfigError, match=r"gate\.yaml has no section gate: with .*metric, margin and floor.*--gate FILE"
    ):
        task_settings("gate")
