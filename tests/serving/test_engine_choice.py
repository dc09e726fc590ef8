"""DRAGOMAN_ENGINE on both servers: what can never start is told in one line, before any worker fails."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from dragoman.bundle.store import Bundle, open_bundle
from dragoman.engines.selection import ENGINE_VARIABLE
from model_registry.packaging.bento import build_bento
from model_registry.packaging.mar import build_mar
from tests.conftest import ROOT

WITHOUT_TORCH = str(Path(__file__).parent / "blocked_imports")
UNKNOWN = "error: DRAGOMAN_ENGINE must be auto or ctranslate2 or torch, got 'onnx'; unset it for the default"
NOT_INSTALLED = (
    "error: DRAGOMAN_ENGINE is torch, which is not installed here; pip install torch, or unset it for the default"
)


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return open_bundle(tiny_bundle)


def refused(command: Sequence[str], directory: Path, **environment: str) -> list[str]:
    """Return the message of a command that must end as for a wrong setting."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 64, done.stderr
    return done.stderr.splitlines()


def test_an_engine_that_a_bento_cannot_have_is_told_in_one_line(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "bentoml"))
    command = ["bentoml", "serve", build_bento(bundle), "--port", "0"]
    assert refused(command, tmp_path, **{ENGINE_VARIABLE: "onnx"}) == [UNKNOWN]
    assert refused(command, tmp_path, **{ENGINE_VARIABLE: "torch", "PYTHONPATH": WITHOUT_TORCH}) == [NOT_INSTALLED]


def test_an_engine_that_is_unknown_is_told_before_torchserve_starts(bundle: Bundle, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = ["deploy.torchserve", "--mar", str(build_mar(bundle, tmp_path)), "--log", str(log)]
    assert refused(command, ROOT, **{ENGINE_VARIABLE: "onnx"}) == [UNKNOWN]
    assert not log.exists()
