"""The stack of ``deploy/compose.yaml`` without its images: registry, follower, servers and Prometheus, together."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from mlflow.tracking import MlflowClient

from deploy.conformance.servers import Packaged
from deploy.run.bento import BentoServer
from deploy.run.server_process import ServerProcess, answers_ok, free_port
from deploy.torchserve.grpc_client import InferenceClient
from deploy.torchserve.server import TorchServeProcess
from tests.conftest import ROOT
from tests.integration.postgres import USER, Postgres, binaries
from tests.monitoring import BUILT_IN, alerts, dashboard_expressions, exposed_metrics, metrics_of, rewritten

NAME = "tiny-en-de"
SENTENCE = "The man sees the red car."
# What a proxy before MLflow is called.
ORIGIN = "https://mlflow.example.com"
# More requests than TorchServe's workers and queue hold (handlers/model-config.yaml).
CROWD = 250
# What has nothing to show while all is well.
EMPTY_WHEN_WELL = {"Alerts"}
FAILED = "sum(rate(Requests5XX["
# How far the expressions look back; a few scrapes of this test's interval.
SCRAPE_INTERVAL, RATE_INTERVAL = "500ms", "5s"


@dataclass(frozen=True)
class Stack:
    bento: BentoServer
    torchserve: TorchServeProcess
    prometheus: str

    def ask(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self.prometheus}/api/v1/{path}", params=parameters, trust_env=False).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return found

    def translate(self) -> None:
        for url in (f"{self.bento.url}/translate", self.torchserve.url):
            assert httpx.post(url, json={"q": SENTENCE}, timeout=60, trust_env=False).status_code == 200
            assert httpx.post(url, json={"q": 1}, timeout=60, trust_env=False).status_code == 400


def command_of(service: str) -> list[str]:
    found: list[str] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))["services"][
        service
    ]["command"]
    return found


def secrets(folder: Path, port: int) -> Path:
    """Make the stack's own secrets, with the database at another address."""
    subprocess.run([ROOT / "deploy/compose/make_secrets.sh", folder], check=True, capture_output=True)
    for name in ("mlflow_database", "optuna_database"):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace("host=postgres", f"host=127.0.0.1\nport={port}"), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def database() -> Iterator[Path]:
    """Start a PostgreSQL with passwords and the databases and users of the stack's script; give its secrets."""
    # Not below pytest's own directory, which only its user may enter.
    with tempfile.TemporaryDirectory(prefix="dragoman-postgres-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "server").mkdir()
        postgres = Postgres(folder / "server", database=None)
        try:
            made = secrets(folder / "secrets", postgres.port)
            _make_databases(postgres, made)
            (folder / "server/data/pg_hba.conf").write_text(
                "host all all 127.0.0.1/32 scram-sha-256\n", encoding="utf-8"
            )
            postgres.restart()
            yield made
        finally:
            postgres.stop("fast")


def _make_databases(postgres: Postgres, made: Path) -> None:
    environment = {"PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "POSTGRES_USER": USER, "SECRETS": str(made)}
    path = f"{binaries()}:{os.environ['PATH']}"
    script = ROOT / "deploy/compose/databases.sh"
    subprocess.run([script], env={**os.environ, **environment, "PATH": path}, check=True)


@pytest.fixture(scope="module")
def mlflow(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start MLflow as the stack does, but for the address and the place of the artifacts."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    own = {
        "--host": "127.0.0.1",
        "--port": str(port),
        "--workers": "1",
        "--artifacts-destination": str(folder / "artifacts"),
        "--allowed-hosts": f"127.0.0.1:{port}",
        "--cors-allowed-origins": ORIGIN,
    }
    flags = [flag.partition("=")[0] for flag in command_of("mlflow")]
    assert set(own) <= set(flags)
    command = [
        flag if name not in own else f"{name}={own[name]}"
        for flag, name in zip(command_of("mlflow"), flags, strict=True)
    ]
    environment = {"PGSERVICEFILE": str(database / "mlflow_database"), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    uri = f"http://127.0.0.1:{port}"
    with ServerProcess(
        [sys.executable, "-m", "mlflow", *command],
        name="mlflow server",
        directory=folder,
        environment=environment,
        log=folder / "mlflow.log",
    ) as server:
        server.wait_until(lambda: answers_ok(f"{uri}/health"), within_s=90)
        yield uri


def until(holds: Callable[[], bool], within_s: float, otherwise: Callable[[], str]) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.2)


def registry(uri: str, *arguments: str) -> str:
    command = [sys.executable, "-m", "model_registry", "--tracking-uri", uri, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def stack(mlflow: str, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if not shutil.which("prometheus"):
        pytest.skip("Prometheus is not installed")
    folder = tmp_path_factory.mktemp("stack")
    (folder / "models").mkdir()
    with pytest.MonkeyPatch.context() as patch, ExitStack() as running:
        patch.setenv("BENTOML_HOME", str(folder / "bentoml"))
        registry(mlflow, "register", str(tiny_bundle))
        MlflowClient(mlflow, mlflow).set_registered_model_alias(NAME, "champion", "1")
        packaged = Packaged.from_output(registry(mlflow, "package", f"{NAME}@champion", "--out", str(folder / "dist")))
        follow = ["follow", f"{NAME}@champion", "--into", str(folder / "models"), "--every", "1"]
        assert [part for part in command_of("follower") if part.startswith("--")] == ["--into", "--every"]
        running.enter_context(
            ServerProcess(
                [sys.executable, "-m", "model_registry", "--tracking-uri", mlflow, *follow],
                name="follower",
                directory=ROOT,
                environment={},
                log=folder / "follower.log",
            )
        )
        patch.setenv("DRAGOMAN_FOLLOW", str(folder / "models"))
        bento = running.enter_context(BentoServer(packaged.bento, log=folder / "bento.log", directory=folder))
        torchserve = running.enter_context(TorchServeProcess(packaged.mar, log=folder / "torchserve.log"))
        port = free_port()
        targets = {"bento": bento.url, "torchserve": torchserve.metrics_url.removesuffix("/metrics")}
        hosts = {job: url.removeprefix("http://") for job, url in targets.items()}
        config = rewritten(folder, hosts, SCRAPE_INTERVAL)
        prometheus = running.enter_context(
            ServerProcess(
                [
                    "prometheus",
                    f"--config.file={config}",
                    f"--storage.tsdb.path={folder / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                name="prometheus",
                directory=folder,
                environment={},
                log=folder / "prometheus.log",
            )
        )
        prometheus.wait_until(lambda: answers_ok(f"http://127.0.0.1:{port}/-/ready"), within_s=30)
        yield Stack(bento, torchserve, f"http://127.0.0.1:{port}")


def test_every_panel_and_every_alert_has_what_it_asks_for_on_the_running_stack(stack: Stack):
    """End as soon as every expression has data."""
    waiting = [(title, text) for title, text in dashboard_expressions(RATE_INTERVAL) if title not in EMPTY_WHEN_WELL]
    # TorchServe shows a class of codes from its first answer of that class on, and it has failed nothing here.
    waiting = [(title, text) for title, text in waiting if not text.startswith(FAILED) and title != "Model changes"]
    assert len(waiting) >= 20

    def everything_has_data() -> bool:
        stack.translate()
        waiting[:] = [(title, text) for title, text in waiting if not stack.query(text)]
        return not waiting

    until(everything_has_data, within_s=30, otherwise=lambda: f"without data: {waiting}")
    up = {row["metric"]["job"]: row["value"][1] for row in stack.query("up")}
    assert up == {"bento": "1", "torchserve": "1"}

    served = stack.query("dragoman_model_info == 1")
    assert {row["metric"]["job"] for row in served} == {"bento", "torchserve"}
    assert len({(row["metric"]["name"], row["metric"]["version"]) for row in served}) == 1
    assert {row["value"][1] for row in stack.query("dragoman_follow_ok")} == {"1"}

    rules = [rule for group in stack.ask("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == {rule["alert"] for rule in alerts()}
    assert {rule["health"] for rule in rules} == {"ok"}
    assert stack.ask("alerts")["alerts"] == []


def test_every_metric_that_is_asked_for_is_one_that_a_server_shows(stack: Stack):
    pages = [
        httpx.get(url, trust_env=False).text for url in (f"{stack.bento.url}/metrics", stack.torchserve.metrics_url)
    ]
    shown = set().union(*map(exposed_metrics, pages)) | BUILT_IN
    asked = {name for _, text in dashboard_expressions() for name in metrics_of(text)}
    asked |= {name for rule in alerts() for name in metrics_of(rule["expr"])}
    assert asked <= shown, asked - shown


async def crowd(url: str) -> list[int]:
    """Send many requests at once and return their codes."""
    body = {"q": [f"The man {number} sees the red car." for number in range(8)], "num_beams": 4}
    limits = httpx.Limits(max_connections=CROWD)
    async with httpx.AsyncClient(limits=limits, timeout=60, trust_env=False) as client:
        answers = await asyncio.gather(*(client.post(url, json=body) for _ in range(CROWD)))
    return [answer.status_code for answer in answers]


def test_torchserve_counts_what_the_alerts_take_it_to_count(stack: Stack):
    """A refused request is in the total and in Requests5XX, and has no times; one over gRPC is in the total alone."""

    def counts() -> tuple[float, ...]:
        page = httpx.get(stack.torchserve.metrics_url, trust_env=False).text
        names = ("ts_inference_requests_total", "Requests4XX", "Requests5XX", "ts_inference_latency_microseconds")
        found = {name: re.search(rf"^{name}{{.*}} (\S+)$", page, re.MULTILINE) for name in names}
        return tuple(float(value[1]) if value else 0.0 for value in found.values())

    def rises(act: Callable[[], object], holds: Callable[..., bool]) -> None:
        before = counts()
        act()
        until(lambda: holds(*rise(before)), within_s=5, otherwise=lambda: f"the counts rose by {rise(before)}")

    def rise(before: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(after - earlier for after, earlier in zip(counts(), before, strict=True))

    codes: list[int] = []

    def overload() -> None:
        while 503 not in codes:
            assert len(codes) < 20 * CROWD
            codes.extend(asyncio.run(crowd(stack.torchserve.url)))

    rises(overload, lambda *rise: rise[:3] == (len(codes), 0, codes.count(503)))
    assert set(codes) <= {200, 503}

    def ask(suffix: str) -> None:
        httpx.post(f"{stack.torchserve.url}{suffix}", json={"q": 1}, timeout=60, trust_env=False)

    rises(lambda: ask(""), lambda *rise: rise[:3] == (1, 1, 0) and rise[3] > 0)
    rises(lambda: ask("-of-nobody"), lambda *rise: rise == (0, 1, 0, 0))
    with InferenceClient(stack.torchserve.grpc_address) as client:
        body = {"q": SENTENCE}
        rises(lambda: client.predict(stack.torchserve.model, body), lambda *rise: rise == (1, 0, 0, 0))


def test_mlflow_takes_what_its_own_pages_send_and_nobody_elses(mlflow: str):
    def search(origin: str) -> int:
        url = f"{mlflow}/ajax-api/2.0/mlflow/experiments/search"
        return httpx.post(url, json={"max_results": 1}, headers={"Origin": origin}, trust_env=False).status_code

    assert [search(origin) for origin in (ORIGIN, "https://elsewhere.example.com")] == [200, 403]


def test_a_server_that_ends_is_told_as_down(stack: Stack):
    stack.bento.stop()
    told = 'ALERTS{alertname="ServerDown", job="bento"}'
    until(lambda: bool(stack.query(told)), within_s=20, otherwise=lambda: f"up is {stack.query('up')}")
