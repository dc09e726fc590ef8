"""An engine that fails under a running server: every request is told so, the server is not ready, and it comes back."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from deploy.run.bento import BentoServer
from deploy.run.server_process import ServerProcess, answers_ok, free_port
from deploy.torchserve.server import TorchServeProcess
from dragoman.bundle.store import open_bundle
from model_registry.packaging.bento import build_bento
from model_registry.packaging.mar import build_mar
from tests.conftest import ROOT

FAILING_ENGINE = Path(__file__).parent / "failing_engine"
# One sentence, and so one batch.
BODY = {"q": "The man sees the red car."}
# More than it takes until a server is not ready, of which TorchServe's two workers get half each.
REQUESTS = 12


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file whose presence makes the engines fail, in servers that are started from now on."""
    path = tmp_path / "broken"
    monkeypatch.setenv("PYTHONPATH", str(FAILING_ENGINE))
    monkeypatch.setenv("ENGINE_FAILS", str(path))
    return path


def until(holds: Callable[[], bool], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def shown(metrics_url: str, name: str) -> float | None:
    page = httpx.get(metrics_url, trust_env=False).text
    found = re.search(rf"^{name}(?:{{.*}})? (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found else None


def ask(url: str) -> httpx.Response:
    return httpx.post(url, json=BODY, timeout=60, trust_env=False)


@contextmanager
def failing(url: str, broken: Path, log: Path) -> Iterator[None]:
    """Make every request in the block end with 500, each with one traceback in the log."""
    assert ask(url).status_code == 200
    broken.touch()
    answers = [ask(url) for _ in range(REQUESTS)]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(500, "internal_error")}
    assert all("the engine failed, not this request" in answer.json()["error"] for answer in answers)
    until(lambda: tracebacks(log) == [REQUESTS, REQUESTS])
    yield
    failed, told = tracebacks(log)
    assert failed == told
    broken.unlink()


def tracebacks(log: Path) -> list[int]:
    """Count the failed batches and the tracebacks in the log."""
    text = log.read_text()
    return [text.count(what) for what in ("the engine failed on a batch of", "Traceback (most recent call last)")]


def test_a_bento_whose_engine_fails_is_not_ready_until_it_works_again(
    tiny_bundle: Path, broken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "bentoml"))
    tag, log = build_bento(open_bundle(tiny_bundle)), tmp_path / "bento.log"
    with BentoServer(tag, directory=tmp_path, log=log) as server:
        metrics = f"{server.url}/metrics"

        def is_ready() -> bool:
            return httpx.get(f"{server.url}/readyz", trust_env=False).status_code == 200

        assert shown(metrics, "dragoman_ready") == 1
        with failing(f"{server.url}/translate", broken, log):
            refused = httpx.get(f"{server.url}/readyz", trust_env=False)
            assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
            assert shown(metrics, "dragoman_ready") == 0
            assert httpx.get(f"{server.url}/livez", trust_env=False).status_code == 200
        # No request is sent: a balancer sends none to a server that is not ready.
        until(is_ready)
        assert shown(metrics, "dragoman_ready") == 1
        assert ask(f"{server.url}/translate").status_code == 200


def test_a_bento_whom_nobody_asks_for_its_readiness_shows_it_all_the_same(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "bentoml"))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with ServerProcess(
        [sys.executable, "-m", "bentoml", "serve", build_bento(open_bundle(tiny_bundle)), "--port", str(port)],
        name="bentoml serve",
        directory=tmp_path,
        environment={},
        log=tmp_path / "bento.log",
    ) as server:
        server.wait_until(lambda: answers_ok(f"{url}/livez"), within_s=60)
        until(lambda: shown(f"{url}/metrics", "dragoman_ready") == 1)


def test_a_torchserve_whose_engine_fails_is_not_ready_until_it_works_again(
    tiny_bundle: Path, broken: Path, tmp_path: Path
) -> None:
    log = tmp_path / "torchserve.log"
    with TorchServeProcess(build_mar(open_bundle(tiny_bundle), tmp_path), log=log) as server:
        ports = {"inference": server.ports.inference, "management": server.ports.management}
        ports["metrics"] = server.ports.metrics
        options = [option for name, port in ports.items() for option in (f"--{name}-port", str(port))]

        def is_ready() -> bool:
            command = [sys.executable, "-m", "deploy.torchserve.probe", "--workers", *options]
            return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0

        until(lambda: shown(server.metrics_url, "dragoman_ready") == 1)
        assert shown(server.metrics_url, "dragoman_engine_info") == 1
        assert is_ready()
        with failing(server.url, broken, log):
            until(lambda: shown(server.metrics_url, "dragoman_ready") == 0)
            assert not is_ready()
        # The probe alone asks the model, since nobody else does while it is not ready.
        until(lambda: is_ready() and shown(server.metrics_url, "dragoman_ready") == 1)
        assert ask(server.url).status_code == 200
