"""TorchServe as a container's process 1 runs it: its health probe, and an end that loses no request."""

import json
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import httpx
import pytest

from deploy.run.server_process import free_port
from deploy.torchserve import config
from deploy.torchserve.config import Ports
from deploy.torchserve.front_end import FrontEnd
from deploy.torchserve.grpc_client import InferenceClient
from deploy.torchserve.server import TorchServeProcess
from dragoman.bundle.store import open_bundle
from dragoman.live.pointer import FOLLOW_VARIABLE
from model_registry.packaging.mar import build_mar
from tests.conftest import ROOT

CLIENTS = 40


@pytest.fixture(scope="module")
def mar(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_mar(open_bundle(tiny_bundle), tmp_path_factory.mktemp("archives"))


def _probe(ports: Ports, temporary: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "deploy.torchserve.probe"),
            *("--inference-port", str(ports.inference), "--management-port", str(ports.management)),
        ],
        cwd=ROOT,
        env={"TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_sigterm_in_the_middle_of_requests_loses_none_and_ends_with_0(
    mar: Path, short_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ports = Ports.free()
    # Workers have other working directories, and look at this one every second.
    followed = os.path.relpath(tmp_path_factory.mktemp("followed"), ROOT)
    command = [
        *(sys.executable, "-m", "deploy.torchserve", "--mar", str(mar.parent), "--log", "-", "--host", "127.0.0.1"),
        *("--port", str(ports.inference), "--management-port", str(ports.management)),
        *("--metrics-port", str(ports.metrics), "--grpc-port", str(ports.grpc_inference)),
        *("--grpc-management-port", str(ports.grpc_management)),
    ]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={"TMPDIR": str(short_path), FOLLOW_VARIABLE: followed},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert any("TorchServe is ready" in line for line in process.stdout)
        # Its log goes on to the same pipe, which somebody has to empty.
        reader = ThreadPoolExecutor(1).submit(process.stdout.read)
        assert _probe(ports, short_path).returncode == 0

        url = f"http://127.0.0.1:{ports.inference}/predictions/tiny-en-de"
        # Below the limit of a text of this bundle.
        bodies = [
            {"q": [f"The man sees {n} cars {line}." for line in range(8)], "num_beams": 4} for n in range(CLIENTS)
        ]
        with (
            httpx.Client(timeout=60, trust_env=False, limits=httpx.Limits(max_connections=None)) as client,
            InferenceClient(f"127.0.0.1:{ports.grpc_inference}") as grpc_client,
            ThreadPoolExecutor(CLIENTS) as pool,
        ):
            rest = [pool.submit(lambda body: client.post(url, json=body).json(), body) for body in bodies[::2]]
            grpc = [pool.submit(grpc_client.predict, "tiny-en-de", body) for body in bodies[1::2]]
            next(as_completed([*rest, *grpc]))
            assert not all(answer.done() for answer in [*rest, *grpc])
            process.send_signal(signal.SIGTERM)
            answers = [answer.result() for answer in [*rest, *grpc]]

        assert process.wait(timeout=60) == 0
        assert all(len(answer["translatedText"]) == 8 for answer in answers)
        assert "still busy" not in reader.result()
    # Nothing of it is left in the directory for temporary files.
    assert list(short_path.iterdir()) == []


def test_the_probe_says_so_when_nothing_runs_or_answers(tmp_path: Path) -> None:
    assert "no TorchServe has been started here" in _probe(Ports.free(), tmp_path).stderr
    (tmp_path / "torchserve-x").mkdir()
    failed = _probe(Ports(inference=free_port(), management=free_port()), tmp_path)
    assert failed.returncode == 69
    assert "TorchServe does not answer" in failed.stderr


def test_a_directory_with_no_archive_or_several_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deploy.torchserve", "--mar", str(tmp_path)]
    failed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert failed.returncode == 65
    assert "must hold one .mar, found none" in failed.stderr


def test_a_directory_to_follow_that_is_not_there_is_told_before_java_starts(mar: Path, tmp_path: Path) -> None:
    failed = subprocess.run(
        [sys.executable, "-m", "deploy.torchserve", "--mar", str(mar), "--log", str(tmp_path / "log")],
        cwd=ROOT,
        env={FOLLOW_VARIABLE: str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode == 64
    assert f"DRAGOMAN_FOLLOW must name a directory, {tmp_path / 'none'} is none" in failed.stderr
    assert not (tmp_path / "log").exists()


def test_starter_and_probe_work_where_token_authorization_is_switched_on(
    mar: Path, tmp_path: Path, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = tmp_path / "config.properties"
    text = config.TEMPLATE.read_text(encoding="utf-8")
    template.write_text(
        re.sub("disable_token_authorization=true", "disable_token_authorization=false", text), encoding="utf-8"
    )
    monkeypatch.setattr(config, "TEMPLATE", template)
    monkeypatch.setattr("tempfile.tempdir", str(short_path))
    with TorchServeProcess(mar, log=tmp_path / "log", front_end=FrontEnd(batch_size=16, workers=1)) as server:
        refused = httpx.post(server.url, json={"q": "a"}, trust_env=False)
        assert refused.status_code == 400
        assert "Token Authorization failed" in json.dumps(refused.json())
        assert _probe(server.ports, short_path).returncode == 0
        assert server.drain(10)


def test_a_directory_too_long_for_sockets_is_told_at_once(mar: Path, tmp_path: Path) -> None:
    long = tmp_path / ("a" * 100)
    long.mkdir()
    failed = subprocess.run(
        [sys.executable, "-m", "deploy.torchserve", "--mar", str(mar), "--log", str(tmp_path / "log")],
        cwd=ROOT,
        env={"TMPDIR": str(long)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode == 64
    assert f"{long} is too long for TorchServe's sockets" in failed.stderr
