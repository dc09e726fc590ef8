"""Servers that follow an alias of a real registry: the champion changes under a thousand requests, and none is lost."""

import itertools
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from mlflow.tracking import MlflowClient

from deploy.run.bento import BentoServer
from deploy.run.server_process import ServerProcess, free_port
from deploy.torchserve.server import TorchServeProcess
from dragoman.bundle.store import Bundle, open_bundle
from dragoman.engines.selection import ENGINE_VARIABLE
from dragoman.items.outcomes import Result
from dragoman.live.pointer import FOLLOW_VARIABLE, Pointer
from dragoman.predictor import load
from model_registry.command_line import main
from model_registry.packaging.bento import build_bento
from model_registry.packaging.mar import build_mar
from model_registry.versions.registry import Registry
from tests.conftest import ROOT
from tests.integration.mlflow_server import Server, mlflow_server
from tests.tiny_model import write_tiny_bundle

NAME = "tiny-en-de"
SENTENCES = 40
CLIENTS = 24
REQUESTS = 1_000
# How many answers each of the three models in turn gives at least.
EACH = 150


@pytest.fixture(scope="module")
def bundles(tiny_bundle: Path, toy_sentences: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    """Write two models of one name over one vocabulary."""
    other = write_tiny_bundle(tmp_path_factory.mktemp("seed-2"), toy_sentences, seed=2)
    return [open_bundle(tiny_bundle), open_bundle(other)]


@pytest.fixture(scope="module", params=["ctranslate2", "torch"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def translations(engine: str, bundles: list[Bundle], toy_sentences: list[str]) -> dict[str, dict[str, str]]:
    """Translate each sentence with each version; the two differ, so a wrong label cannot go unnoticed."""
    sentences = sorted(set(toy_sentences))[:SENTENCES]
    found = {bundle.manifest.version: _translated(bundle, engine, sentences) for bundle in bundles}
    first, second = found.values()
    assert all(first[sentence] != second[sentence] for sentence in sentences)
    return found


def _translated(bundle: Bundle, engine: str, sentences: list[str]) -> dict[str, str]:
    predictor = load(bundle, engine=engine)
    outcomes = predictor(sentences)
    predictor.close()
    return {
        sentence: outcome.value.text
        for sentence, outcome in zip(sentences, outcomes, strict=True)
        if isinstance(outcome, Result)
    }


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow"), free_port()) as server:
        yield server


@pytest.fixture(scope="module")
def client(mlflow: Server, bundles: list[Bundle]) -> MlflowClient:
    """Register both versions and return a client of the registry; champion is the first."""
    client = MlflowClient(mlflow.uri, mlflow.uri)
    registry = Registry(client)
    for bundle in bundles:
        registry.register(bundle)
    _name_champion(client, 1)
    return client


@pytest.fixture(scope="module")
def followed(client: MlflowClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start a follower and return the directory that it keeps at the champion."""
    folder = tmp_path_factory.mktemp("followed")
    with _follower(folder / "models", client.tracking_uri, log=folder / "follower.log") as follower:
        follower.wait_until(lambda: _pointed(folder / "models") is not None, within_s=60)
        yield folder / "models"


@pytest.fixture(scope="module")
def bento(bundles: list[Bundle], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(tmp_path_factory.mktemp("bentoml")))
        yield build_bento(bundles[0])


def _follower(into: Path, uri: str, *, log: Path) -> ServerProcess:
    command = [sys.executable, "-m", "model_registry", "--tracking-uri", uri, "follow", f"{NAME}@champion"]
    command += ["--into", str(into), "--every", "0.3"]
    return ServerProcess(command, name="the follower", directory=ROOT, environment={}, log=log)


def _pointed(folder: Path) -> str | None:
    pointer = Pointer.read(folder)
    return pointer.bundle if pointer else None


def _name_champion(client: MlflowClient, number: int) -> None:
    client.set_registered_model_alias(NAME, "previous", str(3 - number))
    client.set_registered_model_alias(NAME, "champion", str(number))


@pytest.mark.parametrize("kind", ["bento", "torchserve"])
def test_a_thousand_requests_across_a_swap_and_a_rollback_all_get_the_right_answer(
    kind: str,
    engine: str,
    bundles: list[Bundle],
    translations: dict[str, dict[str, str]],
    client: MlflowClient,
    followed: Path,
    bento: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = (bundle.manifest.version for bundle in bundles)
    monkeypatch.setenv(FOLLOW_VARIABLE, str(followed))
    monkeypatch.setenv(ENGINE_VARIABLE, engine)
    log = tmp_path / "server.log"
    running = (
        BentoServer(bento, log=log, directory=tmp_path)
        if kind == "bento"
        else TorchServeProcess(build_mar(bundles[0], tmp_path), log=log)
    )
    with running as server:
        url = f"{server.url}/translate" if isinstance(server, BentoServer) else server.url
        with Load(url, sorted(translations[first])) as load:
            load.until(lambda: load.versions()[first] >= EACH)
            _name_champion(client, 2)
            load.until(lambda: load.versions()[second] >= EACH)
            assert main(["--tracking-uri", client.tracking_uri, "rollback", NAME, "--reason", "a test"]) == 0
            back_at = len(load.answers)
            load.until(lambda: load.versions(back_at)[first] >= EACH and len(load.answers) >= REQUESTS)
        metrics = httpx.get(_metrics_url(server), trust_env=False).text

    assert Counter(status for _, status, _ in load.answers) == {200: len(load.answers)}
    for sentence, _, body in load.answers:
        assert body["translatedText"] == translations[body["model"]["version"]][sentence]
    # Each model in its turn, and none once it was replaced: the last answers are of the first model again.
    assert load.versions(len(load.answers) - CLIENTS).keys() == {first}
    assert _info(metrics, first, second) == {first: 1, second: 0}
    (served_by,) = re.findall(r"^dragoman_engine_info{(.*)} 1\.0$", metrics, re.MULTILINE)
    assert f'engine="{engine}"' in served_by


def _metrics_url(server: BentoServer | TorchServeProcess) -> str:
    return f"{server.url}/metrics" if isinstance(server, BentoServer) else server.metrics_url


def _info(metrics: str, *versions: str) -> dict[str, float]:
    """Read the gauge of each version."""
    lines = [line for line in metrics.splitlines() if line.startswith("dragoman_model_info{")]
    return {
        version: max(float(line.rpartition(" ")[2]) for line in lines if f'version="{version}"' in line)
        for version in versions
    }


class Load:
    """Clients that ask one question after the other until the block ends; every answer is kept, in order."""

    def __init__(self, url: str, sentences: list[str]) -> None:
        self.answers: list[tuple[str, int, dict[str, Any]]] = []
        self._url, self._sentences = url, itertools.cycle(sentences)
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(CLIENTS)

    def versions(self, since: int = 0) -> Counter[str]:
        """Count the answers of each version."""
        return Counter(body["model"]["version"] for _, status, body in self.answers[since:] if status == 200)

    def until(self, holds: Callable[[], bool], within_s: float = 90) -> None:
        """Wait until something holds of the answers."""
        deadline = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < deadline, f"after {len(self.answers)} answers: {self.versions()}"
            time.sleep(0.05)

    def _ask(self) -> None:
        with httpx.Client(timeout=60, trust_env=False) as client:
            while not self._stopping.is_set():
                sentence = next(self._sentences)
                response = client.post(self._url, json={"q": sentence})
                self.answers.append((sentence, response.status_code, response.json()))

    def __enter__(self) -> "Load":
        self._asking = [self._pool.submit(self._ask) for _ in range(CLIENTS)]
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._pool.shutdown()
        for asking in self._asking:
            asking.result()


def test_without_the_registry_a_server_starts_with_the_last_verified_bundle_and_says_so(
    bundles: list[Bundle], bento: str, tmp_path: Path
) -> None:
    models, nowhere = tmp_path / "models", f"http://127.0.0.1:{free_port()}"
    _fetched(bundles[1], models)
    with _follower(models, nowhere, log=tmp_path / "follower.log") as follower:
        follower.wait_until(lambda: "stay with" in follower.log_tail(), within_s=60)
        environment = {FOLLOW_VARIABLE: str(models)}
        with BentoServer(bento, log=tmp_path / "bento.log", directory=tmp_path, environment=environment) as server:
            answer = httpx.post(f"{server.url}/translate", json={"q": "Our dog"}, trust_env=False).json()
            metrics = httpx.get(f"{server.url}/metrics", trust_env=False).text
            assert nowhere in follower.log_tail()
    assert answer["model"]["version"] == bundles[1].manifest.version
    assert f"serving {models_name(bundles[1])}, the last bundle that was verified" in server.log.read_text()
    assert "dragoman_follow_ok 0.0" in metrics


def _fetched(bundle: Bundle, models: Path) -> None:
    """Lay a bundle where a follower would have put it an hour ago."""
    models.mkdir()
    (models / models_name(bundle)).symlink_to(bundle.path)
    Pointer(
        reference=f"{NAME}@champion",
        bundle=models_name(bundle),
        digest=bundle.manifest.digest,
        checked_at=time.time() - 3600,
    ).write(models)


def models_name(bundle: Bundle) -> str:
    return f"{NAME}-{bundle.manifest.version}"
