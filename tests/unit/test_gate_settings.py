from pathlib import Path

import pytest
import yaml

from dragoman.errors import ConfigError
from model_registry.gate_settings import DEFAULT_SETTINGS, load_settings

DEFAULT = yaml.safe_load(DEFAULT_SETTINGS.read_text(encoding="utf-8"))


def written(folder: Path, value: object) -> Path:
    path = folder / "gate.yaml"
    path.write_text(yaml.safe_dump(value), encoding="utf-8")
    return path


def test_the_settings_of_the_repository_are_read():
    settings = load_settings(DEFAULT_SETTINGS)
    assert (settings.metric, settings.mode, settings.margin, settings.alpha) == ("chrF", "non_inferiority", 1.0, 0.05)
    assert settings.guards.latency_p95_ms_max is None


def test_a_whole_number_is_a_number(tmp_path):
    settings = load_settings(written(tmp_path, {**DEFAULT, "margin": 2}))
    assert settings.margin == 2.0
    assert isinstance(settings.margin, float)


def test_everything_that_is_wrong_is_told_at_once(tmp_path):
    guards = {**DEFAULT["guards"], "empty_share_max": 7, "speed": 1}
    wrong = {**DEFAULT, "metric": "TER", "alpha": "small", "resamples": True, "margni": 1, "guards": guards}
    del wrong["margin"]
    with pytest.raises(ConfigError) as refusal:
        load_settings(written(tmp_path, wrong))
    message = str(refusal.value)
    assert "has 7 wrong settings" in message
    for part in (
        "margni is not a setting; accepted are metric, mode",
        "margin is missing; it is a number from 0.001 to 100",
        "metric must be one of chrF, BLEU, got 'TER'",
        "alpha must be a number from 0.001 to 0.5, got 'small'",
        "resamples must be a whole number from 100 to 1e+06, got True",
        "guards.speed is not a setting",
        "guards.empty_share_max must be a number from 0 to 1 or null, got 7",
    ):
        assert part in message


def test_settings_that_cannot_hold_together_are_refused(tmp_path):
    guards = {**DEFAULT["guards"], "length_ratio_min": 1.3, "length_ratio_max": 1.2}
    with pytest.raises(ConfigError) as refusal:
        load_settings(written(tmp_path, {**DEFAULT, "alpha": 0.01, "resamples": 400, "guards": guards}))
    message = str(refusal.value)
    assert "has 2 wrong settings" in message
    assert "guards.length_ratio_min must be at most guards.length_ratio_max, got 1.3 and 1.2" in message
    assert "resamples must be at least 500 with alpha 0.01, got 400" in message
    assert load_settings(written(tmp_path, {**DEFAULT, "alpha": 0.01, "resamples": 500})).resamples == 500


@pytest.mark.parametrize("text", ["[1, 2]", "", "just words", "a: [unclosed"])
def test_what_is_no_group_of_settings_is_refused(tmp_path, text):
    path = tmp_path / "gate.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"gate\.yaml"):
        load_settings(path)
    with pytest.raises(ConfigError, match="cannot read the gate's settings"):
        load_settings(tmp_path / "absent.yaml")
