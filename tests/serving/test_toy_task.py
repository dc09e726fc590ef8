"""A fifth task goes the whole road with its own files and one line in each table, and with nothing else.

Its files stand in tests/toy_task as they would stand in a checkout. They are added to a copy of this checkout, and the
copy's own commands train, register, promote, package, serve and compare.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

TOY = ROOT / "tests" / "toy_task"
# The line of each table after which the toy's line goes, and that line.
TABLE_LINES = {
    "dragoman/task_table.py": ('    "translation": ', '    "parity": "dragoman.tasks.parity:ParityTask",\n'),
    "train/task_table.py": ('    "translation": ', '    "parity": "train.tasks.parity:Parity",\n'),
    "scoring/table.py": ('    "chrF": ', '    "hits": "scoring.parity:Hits",\n'),
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy this checkout, under version control, with the toy's files and lines staged."""
    copy = tmp_path_factory.mktemp("toy") / "checkout"
    copy.mkdir()
    listed = _git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    _git(copy, "init", "--quiet")
    _git(copy, "add", "--all")
    _git(copy, "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "--quiet", "--message", "before")
    shutil.copytree(TOY, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name, (after, line) in TABLE_LINES.items():
        text = (copy / name).read_text()
        place = text.index("\n", text.index(after)) + 1
        (copy / name).write_text(text[:place] + line + text[place:])
    _git(copy, "add", "--all")
    return copy


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


def _run(checkout: Path, *arguments: str, **given: str) -> str:
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"sqlite:///{checkout}/mlflow.db",
        "BENTOML_HOME": str(checkout / "bentoml"),
    }
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, "-m", *arguments]
    options = {"cwd": checkout, "env": environment, "capture_output": True, "text": True, "timeout": 240}
    done = subprocess.run(command, check=False, **options, **given)
    assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_toy_is_its_own_files_and_one_line_in_each_table(checkout: Path) -> None:
    changed = dict(re.findall(r"^ (\S+) +\| +(\d+) \+*$", _git(checkout, "diff", "--cached", "--stat=200"), re.M))
    own = {path.relative_to(TOY).as_posix() for path in TOY.rglob("*.*") if "__pycache__" not in path.parts}
    assert set(changed) == own | set(TABLE_LINES)
    assert {changed[name] for name in TABLE_LINES} == {"1"}


def test_the_toy_is_trained_judged_packaged_served_and_compared(checkout: Path) -> None:
    trained = _run(checkout, "train", "task=parity", "run_dir=runs/toy")
    assert trained.splitlines()[-1] == "bundle: runs/toy/bundle"
    assert "parity/1" in _run(checkout, "model_registry", "register", "runs/toy")
    assert "promoted: parity/1" in _run(checkout, "model_registry", "promote", "parity", "candidate")
    assert "hits" in _run(checkout, "model_registry", "list")
    answered = _run(checkout, "dragoman", "run", "--bundle", "runs/toy/bundle", input="12\n7\n")
    assert answered == "even\nodd\n"
    # Packages the version, starts both servers with it, and sends every request to the core and to each of them.
    fetched = _run(checkout, "model_registry", "fetch", "parity@champion", "--out", "dist").split()[-1]
    compared = _run(checkout, "deploy.conformance", "--bundle", fetched)
    assert re.search(r"7 requests: 7 answered alike everywhere", compared)
