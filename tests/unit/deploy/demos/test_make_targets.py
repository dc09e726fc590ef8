"""The Makefile's targets take any task, and name it to the command behind them."""

import os
import subprocess

import pytest

from deploy.demos.settings import load_demo, training_settings
from dragoman.task_table import TASKS
from tests.conftest import ROOT
from train.config.compose import compose_config

COMMANDS = {
    "demo": "-m deploy.demos.road --task {task}",
    "tune": "-m deploy.demos.search --task {task}",
    "conformance": "-m deploy.conformance --task {task}",
    "smoke-images": "-m deploy.images.smoke --task {task}",
}


def shown(*words: str) -> subprocess.CompletedProcess[str]:
    """Let make print the commands of its targets."""
    environment = {name: value for name, value in os.environ.items() if name not in ("TASK", "NAME", "BUNDLE", "ARGS")}
    command = ["make", "--dry-run", "--no-print-directory", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("task", TASKS)
def test_every_target_of_a_task_names_the_task(task: str) -> None:
    for target, words in COMMANDS.items():
        assert words.format(task=task) in shown(target, f"TASK={task}").stdout
    for target in ("bench", "bench-quick"):
        assert f"-m benchmarks.{task}.serve " in shown(target, f"TASK={task}", "BUNDLE=b").stdout


@pytest.mark.parametrize("task", TASKS)
def test_a_models_name_is_that_of_the_tasks_demo_unless_it_is_given(task: str) -> None:
    composed = compose_config(training_settings(task, load_demo(task)))
    assert shown("history", f"TASK={task}").stdout.split()[-1] == composed.name
    assert shown("history", f"TASK={task}", "NAME=other").stdout.split()[-1] == "other"


def test_a_task_that_is_not_known_is_refused_with_those_that_are() -> None:
    refused = shown("demo", "TASK=juggling")
    assert refused.returncode == 2
    assert "TASK must be one of" in refused.stderr
    assert "translation" in refused.stderr
    assert "got juggling" in refused.stderr
