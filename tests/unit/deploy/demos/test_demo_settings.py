"""The section demo: of a task's file: what it says, and what is told of a wrong one."""

from pathlib import Path

import pytest
import yaml

from deploy.demos import settings as demo_settings
from deploy.demos.settings import Demo, load_demo, training_settings
from dragoman.errors import ConfigError
from dragoman.task_table import TASKS
from scoring.table import METRICS
from tests.conftest import ROOT
from train.config.compose import compose_config


@pytest.mark.parametrize("task", sorted(TASKS))
def test_every_task_can_be_shown(task: str) -> None:
    demo = load_demo(task)

    assert demo.metric in METRICS
    if demo.search:
        search = yaml.safe_load((ROOT / "configs" / "tune" / f"{demo.search}.yaml").read_text(encoding="utf-8"))
        assert compose_config(search["settings"]).task.name == task
    words = training_settings(task, demo)
    assert words[0] == f"task={task}"
    assert words[-1] == f"train.max_minutes={demo.minutes:g}"


def test_minutes_of_the_command_line_stand_before_the_sections_own() -> None:
    demo = Demo(train=("data=some",), minutes=3, metric="chrF", reaches=10)

    assert training_settings("some", demo, 0.5) == ["task=some", "data=some", "train.max_minutes=0.5"]


def test_a_model_has_learned_when_it_reaches_the_score() -> None:
    demo = Demo(minutes=3, metric="chrF", reaches=60)

    assert demo.has_learned(60)
    assert not demo.has_learned(59.9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: {name: some}", r"some\.yaml has no section 'demo'"),
        ("demo: {minutes: soon, metric: chrF, reaches: 1}", r"minutes must be .* got 'soon'"),
        ("demo: {minutes: 1, metric: chrF, reaches: 1, seconds: 5}", r"seconds"),
        ("demo: {minutes: 1, metric: chrf, reaches: 1}", r"metric must be one of chrF, .* got 'chrf'"),
    ],
)
def test_a_section_that_is_missing_or_wrong_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setattr(demo_settings, "TASKS", tmp_path)
    (tmp_path / "some.yaml").write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError, match=message):
        load_demo("some")
