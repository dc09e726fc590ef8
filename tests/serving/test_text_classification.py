"""A classifier on both servers, where nothing of other tasks and of training is installed: the core's own answers."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import InferenceClient, close_session, constants
from huggingface_hub.errors import BadRequestError

from deploy.conformance.corpus import load_corpus
from deploy.run.bento import BentoServer
from deploy.torchserve.front_end import FrontEnd
from deploy.torchserve.server import TorchServeProcess
from dragoman.bundle.store import Bundle, open_bundle
from dragoman.http.protocol import answer
from dragoman.items.bodies import RawRequest
from dragoman.predictor import Predictor, load
from dragoman.tasks.text_classification.options import Limits
from model_registry.packaging.bento import build_bento
from model_registry.packaging.mar import build_mar
from tests.conftest import ROOT
from tests.serving.test_handler import handle, rest_headers

BLOCKED_IMPORTS = Path(__file__).parent / "blocked_imports"
# What tasks other than classification need, beside what the folder above blocks for all.
OF_OTHER_TASKS = ("sentencepiece", "sentencex", "PIL", "onnx", "onnxruntime")
TEXT = "The man sees the red car."
JSON = "application/json"


@pytest.fixture(scope="module")
def bundle(tiny_classifier: Path) -> Bundle:
    return open_bundle(tiny_classifier)


@pytest.fixture(scope="module")
def predictor(bundle: Bundle) -> Iterator[Predictor]:
    predictor = load(bundle)
    yield predictor
    predictor.close()


@pytest.fixture(scope="module")
def mar(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_mar(bundle, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def bento(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BentoServer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(tmp_path_factory.mktemp("bentoml")))
        folder = tmp_path_factory.mktemp("server")
        environment = {"PYTHONPATH": str(BLOCKED_IMPORTS), "BLOCKED_IMPORTS": " ".join(OF_OTHER_TASKS)}
        with BentoServer(
            build_bento(bundle), directory=folder, log=folder / "bentoml.log", environment=environment
        ) as server:
            yield server


@pytest.fixture(scope="module")
def torchserve(mar: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TorchServeProcess]:
    log = tmp_path_factory.mktemp("torchserve") / "torchserve.log"
    with TorchServeProcess(mar, log=log, front_end=FrontEnd(batch_size=16, workers=1)) as server:
        yield server


@pytest.fixture(params=["bento", "torchserve"])
def url(request: pytest.FixtureRequest) -> str:
    server = request.getfixturevalue(request.param)
    return f"{server.url}/classify" if request.param == "bento" else str(server.url)


def test_every_request_and_500_texts_are_answered_alike_everywhere(
    bundle: Bundle, bento: BentoServer, torchserve: TorchServeProcess, toy_sentences: list[str], tmp_path: Path
) -> None:
    # Texts of one window and of several, sent many at a time, so that the servers batch them as they please.
    texts = [" ".join(toy_sentences[place : place + 1 + place % 7]) for place in range(0, 400, 2)]
    texts += load_corpus("text_classification").items(300)
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    ways = ["--http", f"{bento.url}/classify", "--http", torchserve.url]
    ways += ["--grpc", f"{torchserve.grpc_address}/{torchserve.model}"]
    command = ["deploy.conformance", "--bundle", str(bundle.path), "--items", str(tmp_path / "texts.txt"), *ways]
    printed = run(*command, directory=ROOT)
    count = len(load_corpus("text_classification").cases(Limits()))
    assert f"{count} requests: {count} answered alike everywhere" in printed
    rows = [line for line in printed.splitlines() if "│ 500" in line]
    assert len(rows) == 3
    assert all(row.count("500") == 2 for row in rows), printed


def run(*command: str, directory: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=directory, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class TestHuggingFacesClient:
    @pytest.fixture(autouse=True)
    def local(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Let it send requests, of which a server on this machine is all that it is given."""
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield
        close_session()

    def test_it_reads_all_labels(self, url: str, predictor: Predictor) -> None:
        found = InferenceClient().text_classification(TEXT, model=url)
        (expected,) = predictor([TEXT])
        assert [(entry.label, entry.score) for entry in found] == list(expected.value.scores)
        assert found[0].model == f"tiny-news:{predictor.bundle.manifest.version}"

    def test_it_reads_as_many_as_it_asks_for(self, url: str, predictor: Predictor) -> None:
        found = InferenceClient().text_classification(TEXT, model=url, top_k=2, function_to_apply="softmax")
        (expected,) = predictor([TEXT])
        assert [(entry.label, entry.score) for entry in found] == list(expected.value.scores[:2])

    def test_it_shows_the_sentence_of_an_error(self, url: str) -> None:
        with pytest.raises(BadRequestError, match="top_k must be a whole number from 1 to 4, the number of labels"):
            InferenceClient().text_classification(TEXT, model=url, top_k=9)


def test_bentomls_own_client_reads_the_lists(bento: BentoServer, predictor: Predictor, tmp_path: Path) -> None:
    body = {"inputs": [TEXT, "Our dog"], "parameters": {"top_k": 1}}
    # In a process of its own: importing BentoML warns more than the tests allow.
    script = f"import bentoml, json; print(json.dumps(bentoml.SyncHTTPClient({bento.url!r}).classify(**{body!r})))"
    (tmp_path / "ask.py").write_text(script)
    (expected,) = answer(predictor, [_request(body)])
    assert json.loads(run("ask", directory=tmp_path)) == expected.body


def test_the_page_of_the_interface_is_the_classifiers(bento: BentoServer) -> None:
    document = httpx.get(f"{bento.url}/docs.json", trust_env=False).json()
    assert "/classify" in document["paths"]
    assert document["components"]["schemas"]["Response"]["type"] == "array"


def test_the_handler_needs_nothing_but_its_archive(mar: Path, predictor: Predictor, tmp_path: Path) -> None:
    with zipfile.ZipFile(mar) as archive:
        archive.extractall(tmp_path / "unpacked")
    bodies: list[dict[str, Any]] = [{"inputs": TEXT}, {"inputs": ""}, {"inputs": [TEXT, "a [SEP] b"]}]
    encoded = [json.dumps(body).encode() for body in bodies]
    rows = [({"body": body}, rest_headers(JSON, len(body))) for body in encoded]
    found = handle(tmp_path / "unpacked", *rows, blocked=OF_OTHER_TASKS)
    expected = answer(predictor, [_request(body) for body in bodies])
    assert [reply["body"] for reply in found["replies"]] == [reply.body for reply in expected]
    assert [reply["status"][0] for reply in found["replies"]] == [200, 400, 200]


def _request(body: dict[str, Any]) -> RawRequest:
    return RawRequest(body=json.dumps(body).encode(), content_type=JSON)
