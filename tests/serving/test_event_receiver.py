"""The receiver as a process: against a real MLflow server, and killed while it works."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet
from mlflow.tracking import MlflowClient

from deploy.events.signature import ID_HEADER, SIGNATURE_HEADER, TIME_HEADER, sign_delivery
from deploy.run.server_process import free_port
from dragoman.bundle.store import open_bundle
from dragoman.errors import ConfigError, UnavailableError
from dragoman.tasks.translation.options import Limits
from model_registry.command_line import main
from model_registry.versions.registry import Registry
from model_registry.versions.webhooks import subscribe
from tests.conftest import ROOT
from tests.integration.mlflow_server import mlflow_server
from tests.signing_keys import write_key_pair
from tests.tiny_model import write_tiny_bundle

SECRET = "the secret of these tests"


@dataclass(frozen=True)
class Running:
    url: str
    state: Path
    out: Path
    process: subprocess.Popen[str]

    def events(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = httpx.get(self.url, trust_env=False).json()["events"]
        return found

    def written(self) -> dict[str, str]:
        files = (self.state / "events").glob("*.json")
        return {path.stem: json.loads(path.read_text())["state"] for path in files}


@contextmanager
def receiver(folder: Path, tracking_uri: str, **environment: str) -> Iterator[Running]:
    command = [sys.executable, "-m", "deploy.events", "--port", "0", "--tracking-uri", tracking_uri]
    command += ["--state", str(folder / "state"), "--out", str(folder / "dist")]
    environment = {**os.environ, "DRAGOMAN_WEBHOOK_SECRET": SECRET, **environment}
    with (folder / "errors").open("ab") as errors:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)
    with process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            listening = re.search(r"http://\S+/events", line)
            assert listening, line + (folder / "errors").read_text()
            yield Running(listening[0], folder / "state", folder / "dist", process)
        finally:
            process.terminate()
            process.communicate(timeout=60)


def until(holds: Callable[[], Any], within_s: float) -> Any:
    deadline = time.monotonic() + within_s
    while not (value := holds()):
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.1)
    return value


@pytest.fixture(scope="module")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http,https")
        patch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
        patch.setenv("MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES", "1")
        patch.setenv("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", Fernet.generate_key().decode())
        with mlflow_server(tmp_path_factory.mktemp("mlflow"), free_port()) as server:
            yield server.uri


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "webhook.secret"
    path.write_text(f"{SECRET}\n")
    return path


def test_a_champion_that_moves_in_mlflow_is_built_tested_and_published(
    mlflow_uri: str, secret_file: Path, tmp_path: Path, toy_sentences: list[str], capsys: pytest.CaptureFixture[str]
):
    bundle = open_bundle(write_tiny_bundle(tmp_path, toy_sentences, name="moving", limits=Limits()))
    with receiver(tmp_path, mlflow_uri, BENTOML_HOME=str(tmp_path / "bentoml")) as running:
        arguments = ["webhook", "champions", "--url", running.url, "--secret-file", str(secret_file)]
        for done in ("made", "renewed"):
            assert main([*arguments, "--tracking-uri", mlflow_uri]) == 0
            assert capsys.readouterr().out.startswith(f"webhook: champions {done}, ")

        version = Registry.open(mlflow_uri).register(bundle)
        MlflowClient(mlflow_uri, mlflow_uri).set_registered_model_alias("moving", "champion", str(version.number))

        until(running.events, within_s=30)
        until(lambda: running.events()[0]["state"] not in ("received", "building"), within_s=240)
        (outcome,) = running.events()
    log = Path(outcome["log"]).read_text()
    assert outcome["state"] == "passed", log
    assert (outcome["model"], outcome["version"], outcome["bundle"]) == ("moving", "1", bundle.manifest.version)
    assert outcome["built_version"] == "1"
    assert "answered alike everywhere" in log
    assert SECRET not in log
    assert [path.name for path in running.out.iterdir()] == [f"moving-{bundle.manifest.version}.mar"]
    assert (tmp_path / "bentoml" / "bentos" / "moving" / bundle.manifest.version).is_dir()
    assert list((running.state / "work").iterdir()) == []


def test_a_subscription_that_cannot_work_says_why(mlflow_uri: str, secret_file: Path, tmp_path: Path):
    dead = f"http://127.0.0.1:{free_port()}/events"
    with pytest.raises(UnavailableError, match=r"a test event .* did not arrive.*start the receiver"):
        subscribe(mlflow_uri, name="dead", url=dead, secret_file=secret_file)
    with pytest.raises(ConfigError, match=r"MLflow refuses the webhook: .*ftp"):
        subscribe(mlflow_uri, name="ftp", url="ftp://127.0.0.1/events", secret_file=secret_file)
    with pytest.raises(ConfigError, match="cannot read the secret"):
        subscribe(mlflow_uri, name="none", url=dead, secret_file=tmp_path / "none")
    (tmp_path / "short").write_text(f"{'x' * 15}\n")
    with pytest.raises(
        ConfigError, match=r"at least 16 bytes, got 15 in .*short; make one with `openssl rand -hex 32`"
    ):
        subscribe(mlflow_uri, name="short", url=dead, secret_file=tmp_path / "short")
    Registry.open(f"sqlite:///{tmp_path}/mlflow.db", create=True)
    with pytest.raises(ConfigError, match="only an MLflow server delivers events"):
        subscribe(f"sqlite:///{tmp_path}/mlflow.db", name="x", url=dead, secret_file=secret_file)


def deliver(running: Running, delivery_id: str, **data: str) -> httpx.Response:
    moved = {"name": "tiny-en-de", "alias": "champion", "version": "1", **data}
    body = json.dumps({"entity": "model_version_alias", "action": "created", "data": moved}).encode()
    timestamp = str(int(time.time()))
    headers = {
        ID_HEADER: delivery_id,
        TIME_HEADER: timestamp,
        SIGNATURE_HEADER: sign_delivery(delivery_id, timestamp, body, secret=SECRET.encode()),
        "content-type": "application/json",
    }
    return httpx.post(running.url, content=body, headers=headers, trust_env=False)


def test_where_a_key_is_configured_an_unsigned_champion_is_not_published(
    mlflow_uri: str, tmp_path: Path, tiny_bundle: Path
):
    Registry.open(mlflow_uri).register(open_bundle(tiny_bundle))
    MlflowClient(mlflow_uri, mlflow_uri).set_registered_model_alias("tiny-en-de", "champion", "1")
    public_key = write_key_pair(tmp_path).public
    with receiver(tmp_path, mlflow_uri, DRAGOMAN_PUBLIC_KEY=str(public_key)) as running:
        assert deliver(running, "a1").status_code == 202
        until(lambda: running.events()[0]["state"] not in ("received", "building"), within_s=60)
        (outcome,) = running.events()
    assert (outcome["state"], outcome["bundle"]) == ("failed", None)
    assert "ended with status 78" in outcome["reason"]
    assert "is not signed" in outcome["reason"]
    assert not running.out.exists()


def test_nothing_accepted_is_lost_when_the_receiver_is_killed_or_ended(tmp_path: Path):
    nowhere = f"http://127.0.0.1:{free_port()}"
    with receiver(tmp_path, nowhere) as running:
        for delivery_id in ("a1", "a2", "b1"):
            assert deliver(running, delivery_id, name=f"model-{delivery_id[0]}").status_code == 202
        running.process.kill()
        running.process.wait()
        left = running.written()
    assert set(left) == {"a1", "a2", "b1"}
    assert left["b1"] == "received"
    assert left["a2"] in ("received", "building")

    with receiver(tmp_path, nowhere) as running:
        assert deliver(running, "a2", name="model-a").json()["status"] == "repeated"
        until(lambda: running.written()["b1"] == "building", within_s=60)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) == 143
        left = running.written()
    # The store does not answer, so what was tried waits for it.
    assert left["a1"] == "superseded"
    assert left["a2"] in ("waiting", "building")
    assert left["b1"] in ("waiting", "building")
    waiting = json.loads((running.state / "events" / "a2.json").read_text())
    assert waiting["postponed"] >= 1
    assert "ended with status 69" in waiting["reason"]
    assert nowhere in Path(waiting["log"]).read_text()


@pytest.mark.parametrize(
    ("arguments", "secret", "status", "message"),
    [
        ((), "", 64, "the secret must have at least 16 bytes, got 0"),
        ((), "short", 64, "the secret must have at least 16 bytes, got 5"),
        (("--secret-file", "/none"), SECRET, 64, "cannot read the secret in /none"),
        (("--max-age", "nan"), SECRET, 64, "--max-age must be above 0 and at most 3600 seconds, got nan"),
        (("--max-age", "-1"), SECRET, 64, "--max-age must be above 0 and at most 3600 seconds, got -1"),
        (("--max-age", "3601"), SECRET, 64, "--max-age must be above 0 and at most 3600 seconds, got 3601"),
        (("--port", "70000"), SECRET, 64, "cannot listen on 127.0.0.1:70000"),
        (("--state", "/proc/none"), SECRET, 73, "cannot use /proc/none"),
    ],
)
def test_a_receiver_that_cannot_work_does_not_start(tmp_path, arguments, secret, status, message):
    command = [sys.executable, "-m", "deploy.events", "--port", "0", "--state", str(tmp_path / "state"), *arguments]
    environment = {**os.environ, "DRAGOMAN_WEBHOOK_SECRET": secret}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (status, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
