import ast
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from dragoman.task_table import TASKS as RUN_TIME_TASKS
from tests.conftest import BUNDLES, ROOT
from train.task_table import TASKS as TRAINING_TASKS

BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}} (blocked)")
sys.meta_path.insert(0, Blocker())
"""


def test_the_wheel_holds_the_core_alone(tmp_path: Path):
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-q",
        "-w",
        str(tmp_path),
        ".",
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"dragoman"}


@pytest.mark.parametrize("task", BUNDLES)
def test_the_core_answers_where_training_tracking_and_torch_are_not_installed(
    task: str, request: pytest.FixtureRequest
):
    blocked = {"torch", "transformers", "mlflow", "optuna", "datasets", "sacrebleu", "hydra", "bentoml", "accelerate"}
    blocked |= {"timm", "torchvision", "sklearn", "onnxscript", "pandas", "matplotlib"}
    bundle = request.getfixturevalue(BUNDLES[task])
    program = BLOCKER.format(blocked=blocked) + (
        f"import dragoman; answer = dragoman.load({str(bundle)!r}); print(answer([answer.task.example_item])[0])"
    )
    command = [sys.executable, "-c", program]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert finished.stdout.startswith("Result("), finished.stderr


def test_a_small_part_of_the_core_is_imported_without_the_predictor():
    program = "import sys, dragoman.atomic; print(sorted(name for name in sys.modules if name.startswith('dragoman')))"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert finished.stdout.strip() == "['dragoman', 'dragoman.atomic', 'dragoman.errors']"


def test_the_errors_are_there_before_anything_is_loaded():
    program = "import dragoman; print(dragoman.errors.ConfigError.__name__)"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert finished.stdout.strip() == "ConfigError", finished.stderr


def test_a_missing_engine_is_told_with_what_to_install(tiny_bundle: Path):
    program = BLOCKER.format(blocked={"torch", "ctranslate2"}) + (
        "import dragoman\n"
        f"try: dragoman.load({str(tiny_bundle)!r})\n"
        "except dragoman.errors.ConfigError as error: print(error)"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert "pip install 'dragoman[cpu]'" in finished.stdout, finished.stderr


def test_the_service_imports_the_core_and_its_own_framework_alone():
    tree = ast.parse((ROOT / "service.py").read_text())
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    roots = {module.partition(".")[0] for module in modules} - set(sys.stdlib_module_names)
    # BentoML shows the metrics that are made with prometheus_client.
    assert roots == {"bentoml", "dragoman", "prometheus_client", "pydantic", "starlette"}


def test_both_halves_of_every_task_and_its_configuration_exist():
    assert set(RUN_TIME_TASKS) == set(TRAINING_TASKS)
    configured = {path.stem for path in (ROOT / "configs" / "task").glob("*.yaml")}
    assert configured == set(RUN_TIME_TASKS)


def test_every_requirement_is_pinned_by_the_constraints():
    pinned = {
        re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower()
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {re.split(r"[\[<>=!~ ]", requirement)[0].lower() for group in groups for requirement in group}
    assert names - {"dragoman"} <= pinned


def test_every_target_of_the_makefile_is_in_its_help():
    text = (ROOT / "Makefile").read_text()
    phony = set(re.search(r"^\.PHONY: (.*)$", text, re.M)[1].split())  # type: ignore[index]
    printed = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[0] for line in printed.splitlines() if line.strip()} == phony


def test_results_come_with_machine_versions_and_commit():
    for path in (ROOT / "benchmarks" / "results").glob("*.json"):
        assert {"machine", "versions", "commit", "command"} <= set(json.loads(path.read_text())), path
