"""Records of measurements: their contents, and the refusal of a checkout with changes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

COMMAND = ["--", "python", "-c", "print('{\"figure\": 1}')"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one committed file and a folder of records."""
    folder = tmp_path / "checkout"
    (folder / "benchmarks" / "results").mkdir(parents=True)
    (folder / "code.py").write_text("answer = 42\n", encoding="utf-8")
    for command in (["init", "--quiet"], ["add", "code.py"], ["commit", "--quiet", "--message", "The answer"]):
        git(folder, *command)
    return folder


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def record(checkout: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.record", "--out", str(out), *COMMAND]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)


def test_a_record_names_the_commit_that_gave_its_figures(checkout: Path, tmp_path: Path) -> None:
    done = record(checkout, tmp_path / "record.json")

    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))
    assert found["commit"] == git(checkout, "rev-parse", "HEAD")
    assert found["output"] == {"figure": 1}


@pytest.mark.parametrize("changed", ["code.py", "new.py"])
def test_a_checkout_that_differs_from_its_commit_is_refused(checkout: Path, tmp_path: Path, changed: str) -> None:
    (checkout / changed).write_text("answer = 43\n", encoding="utf-8")

    done = record(checkout, tmp_path / "record.json")

    assert done.returncode == 64
    assert f"the checkout differs from its commit ({changed})" in done.stderr
    assert "commit or stash the changes first" in done.stderr
    assert not (tmp_path / "record.json").exists()


def test_an_earlier_record_is_no_difference(checkout: Path) -> None:
    results = checkout / "benchmarks" / "results"

    first, second = (record(checkout, results / f"{name}.json") for name in ("one", "two"))

    assert (first.returncode, second.returncode) == (0, 0), second.stderr


def test_a_record_can_be_made_anew(checkout: Path) -> None:
    out = checkout / "benchmarks" / "results" / "one.json"
    out.write_text("{}", encoding="utf-8")
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "--message", "An earlier record")

    first, second = record(checkout, out), record(checkout, out)

    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    assert json.loads(out.read_text(encoding="utf-8"))["commit"] == git(checkout, "rev-parse", "HEAD")
