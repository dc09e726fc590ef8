"""A classifier of images on both servers, where nothing of other tasks and of training is installed."""

import base64
import io
import itertools
import json
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from huggingface_hub import InferenceClient, close_session, constants
from huggingface_hub.errors import BadRequestError
from PIL import Image

from deploy.conformance.corpus import load_corpus, picture
from deploy.run.bento import BentoServer
from deploy.torchserve.front_end import FrontEnd
from deploy.torchserve.grpc_client import InferenceClient as GrpcClient
from deploy.torchserve.server import TorchServeProcess
from dragoman.bundle.store import Bundle, open_bundle
from dragoman.http.protocol import Reply, answer
from dragoman.items.bodies import Part, RawRequest
from dragoman.predictor import Predictor, load
from dragoman.tasks.image_classification.options import Limits
from model_registry.packaging.bento import build_bento
from model_registry.packaging.mar import build_mar
from tests.conftest import ROOT
from tests.hostile_images import hostile_files
from tests.serving.test_handler import handle, rest_headers

BLOCKED_IMPORTS = Path(__file__).parent / "blocked_imports"
# What tasks other than this one need, beside what the folder above blocks for all.
OF_OTHER_TASKS = ("ctranslate2", "sentencepiece", "sentencex", "tokenizers", "safetensors")
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=line"
PNG = picture(7, 20, 12)
JSON = "application/json"
# Above what allocators keep after thousands of requests of this size, and far below one decoded picture for each.
MOST_GROWTH_BYTES = 10 << 20


@pytest.fixture(scope="module")
def bundle(tiny_images: Path) -> Bundle:
    return open_bundle(tiny_images)


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
def server(request: pytest.FixtureRequest) -> BentoServer | TorchServeProcess:
    found: BentoServer | TorchServeProcess = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def url(server: BentoServer | TorchServeProcess) -> str:
    return f"{server.url}/classify" if isinstance(server, BentoServer) else server.url


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a photo of a usual size, in which every byte occurs."""
    path = tmp_path_factory.mktemp("photos") / "photo.jpg"
    Image.effect_noise((640, 480), 60).convert("RGB").save(path, quality=90)
    assert len(set(path.read_bytes())) == 256
    return path


@pytest.fixture(scope="module")
def hostile(predictor: Predictor) -> list[tuple[bytes, Reply]]:
    """Make hostile files, each with the reply of the engine."""
    files = list(hostile_files(seed=4, count=300))
    return [(file, answer(predictor, [RawRequest(body=file)])[0]) for file in files]


def expected(predictor: Predictor, image: bytes, count: int | None = None) -> list[tuple[str, float]]:
    (outcome,) = predictor([image])
    return list(outcome.value.scores[:count])


def test_every_request_and_1000_images_are_answered_alike_everywhere(
    bundle: Bundle, bento: BentoServer, torchserve: TorchServeProcess, tmp_path: Path
) -> None:
    # Of many sizes, each sent alone and many at a time, so that the servers batch them as they please; the engine
    # answers each by itself.
    for number in range(1_000):
        path = tmp_path / "images" / f"{number % 7}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number, 8 + number % 17, 8 + number % 23))
    ways = ["--http", f"{bento.url}/classify", "--http", torchserve.url]
    ways += ["--grpc", f"{torchserve.grpc_address}/{torchserve.model}"]
    command = ["deploy.conformance", "--bundle", str(bundle.path), "--items", str(tmp_path / "images"), *ways]
    printed = run(*command, directory=ROOT)
    count = len(load_corpus("image_classification").cases(Limits()))
    assert f"{count} requests: {count} answered alike everywhere" in printed
    rows = [line for line in printed.splitlines() if "│ 1000" in line]
    assert len(rows) == 3
    assert all(row.count("1000") == 2 for row in rows), printed


def run(*command: str, directory: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=directory, capture_output=True, text=True, timeout=180, check=False
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

    def test_it_sends_bytes_and_reads_all_labels(self, url: str, predictor: Predictor) -> None:
        found = InferenceClient().image_classification(PNG, model=url)
        assert [(entry.label, entry.score) for entry in found] == expected(predictor, PNG)
        assert found[0].model == f"tiny-images:{predictor.bundle.manifest.version}"

    def test_it_sends_a_file_and_reads_as_many_labels_as_it_asks_for(
        self, url: str, predictor: Predictor, photo: Path
    ) -> None:
        for image in (str(photo), photo):
            found = InferenceClient().image_classification(image, model=url, top_k=2, function_to_apply="softmax")
            assert [(entry.label, entry.score) for entry in found] == expected(predictor, photo.read_bytes(), 2)

    def test_it_shows_the_sentence_of_an_error(self, url: str) -> None:
        with pytest.raises(BadRequestError, match="top_k must be a whole number from 1 to 4, the number of labels"):
            InferenceClient().image_classification(PNG, model=url, top_k=9)


@pytest.mark.parametrize(
    "options",
    [
        ["--data-binary", "@photo.jpg"],
        ["--data-binary", "@photo.jpg", "-H", "Content-Type: image/jpeg"],
        ["--data-binary", "@photo.jpg", "-H", "Content-Type:"],
        ["-F", "file=@photo.jpg"],
    ],
    ids=["as it is", "with a type", "without a type", "as a form"],
)
def test_curl_sends_a_photo(url: str, photo: Path, predictor: Predictor, options: list[str]) -> None:
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", *options, url]
    done = subprocess.run(command, cwd=photo.parent, capture_output=True, timeout=30, check=True)
    found = [(entry["label"], entry["score"]) for entry in json.loads(done.stdout)]
    assert found == expected(predictor, photo.read_bytes())


def test_grpc_carries_bytes_under_any_name(torchserve: TorchServeProcess, photo: Path, predictor: Predictor) -> None:
    with GrpcClient(torchserve.grpc_address) as client:
        bodies = [client.send(torchserve.model, {name: photo.read_bytes()}) for name in ("data", "body", "file")]
        refused = client.send(torchserve.model, {"a": PNG, "b": PNG})
    (reply,) = answer(predictor, [RawRequest(body=photo.read_bytes())])
    assert bodies == [reply.body] * 3
    assert isinstance(refused, dict)
    assert refused["code"] == "invalid_input"


def test_hostile_files_are_refused_each_for_its_reason_and_leave_no_memory(
    server: BentoServer | TorchServeProcess, url: str, hostile: list[tuple[bytes, Reply]]
) -> None:
    files = [file for file, _ in hostile]
    with httpx.Client(trust_env=False, timeout=30) as client, ThreadPoolExecutor(8) as pool:

        def ask(file: bytes) -> Reply:
            response = client.post(url, content=file)
            return Reply(response.status_code, response.json())

        rounds, used = [], []
        for _ in range(4):
            rounds.append(list(pool.map(ask, files)))
            used.append(memory(server))
    replies = rounds[0]
    assert replies == [reply for _, reply in hostile]
    assert rounds[1:] == [replies] * 3
    refused = [reply for reply in replies if reply.status != 200]
    assert len(refused) > 200
    assert all(400 <= reply.status < 500 for reply in refused)
    codes = {reply.error["code"] for reply in refused}
    assert codes >= {"damaged_image", "unsupported_image", "image_too_large"}
    # The first rounds take the room that the largest of them need side by side; a leak takes more in every round.
    assert min(after - before for before, after in itertools.pairwise(used)) < MOST_GROWTH_BYTES, used


def memory(server: BentoServer | TorchServeProcess) -> int:
    """Return the bytes of the server's Python processes; Java takes what it is given."""
    processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    return sum(process.memory_info().rss for process in processes if "java" not in process.name())


def test_a_large_picture_keeps_no_other_request_waiting(bento: BentoServer) -> None:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((4096, 4096)).convert("RGB").save(file, "JPEG", quality=95, progressive=True)
    answered = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal answered
        with httpx.Client(trust_env=False) as client:
            while not done.is_set():
                assert client.get(f"{bento.url}/livez").status_code == 200
                answered += 1

    with httpx.Client(trust_env=False, timeout=60) as client, ThreadPoolExecutor(5) as pool:
        watching = pool.submit(watch)
        replies = list(pool.map(lambda _: client.post(f"{bento.url}/classify", content=file.getvalue()), range(4)))
        done.set()
        watching.result()
    assert [reply.status_code for reply in replies] == [200] * 4
    # On the event loop, each picture would let one request by before it is decoded, and one after it.
    assert answered > 20


def test_bentomls_own_client_sends_base64(bento: BentoServer, predictor: Predictor, tmp_path: Path) -> None:
    image = base64.b64encode(PNG).decode()
    body: dict[str, Any] = {"inputs": [image, image], "parameters": {"top_k": 1}}
    # In a process of its own: importing BentoML warns more than the tests allow.
    script = f"import bentoml, json; print(json.dumps(bentoml.SyncHTTPClient({bento.url!r}).classify(**{body!r})))"
    (tmp_path / "ask.py").write_text(script)
    (reply,) = answer(predictor, [RawRequest(body=json.dumps(body).encode())])
    assert json.loads(run("ask", directory=tmp_path)) == reply.body


def test_the_page_of_the_interface_shows_files(bento: BentoServer) -> None:
    document = httpx.get(f"{bento.url}/docs.json", trust_env=False).json()
    accepted = document["paths"]["/classify"]["post"]["requestBody"]["content"]
    assert {JSON, "image/*", "multipart/form-data"} <= set(accepted)
    assert FORM not in accepted


def test_the_handler_needs_nothing_but_its_archive(mar: Path, predictor: Predictor, tmp_path: Path) -> None:
    with zipfile.ZipFile(mar) as archive:
        archive.extractall(tmp_path / "unpacked")
    as_json = json.dumps(predictor.task.request_for(PNG)).encode()
    part = Part(name="photo", content=PNG)
    grpc: dict[str, Any] = {"data": {"content-type": ""}}
    cases: list[tuple[dict[str, bytes], dict[str, Any], RawRequest]] = [
        ({"body": PNG}, rest_headers(None, len(PNG)), RawRequest(body=PNG)),
        ({"body": as_json}, rest_headers(JSON, len(as_json)), RawRequest(body=as_json, content_type=JSON)),
        ({"body": b"GIF89a"}, rest_headers("image/gif", 6), RawRequest(body=b"GIF89a", content_type="image/gif")),
        # A front end that was started for files leaves a form undecoded, which any other one makes a text of.
        ({"body": PNG}, rest_headers(FORM, len(PNG)), RawRequest(body=PNG, content_type=FORM)),
        ({"\ufffdPNG": b"?"}, rest_headers(FORM, len(PNG)), RawRequest(form={})),
        ({}, rest_headers(FORM, len(PNG)), RawRequest(form={})),
        ({"photo": PNG}, rest_headers(MULTIPART, 500), RawRequest(content_type=MULTIPART, parts=[part])),
        ({"photo": PNG}, {**rest_headers(MULTIPART, 500), "photo": "a header"}, RawRequest(parts=[part])),
        ({}, rest_headers(MULTIPART, 500), RawRequest(content_type=MULTIPART, parts=[])),
        # Of two files with one name the front end keeps the last, and the length tells.
        ({"photo": PNG}, rest_headers(MULTIPART, 5_000), RawRequest(parts=[part, part])),
        ({"data": PNG}, grpc, RawRequest(body=PNG)),
        ({"data": as_json}, grpc, RawRequest(body=as_json)),
        ({"photo": PNG}, grpc, RawRequest(parts=[part])),
    ]
    found = handle(tmp_path / "unpacked", *((row, head) for row, head, _ in cases), blocked=OF_OTHER_TASKS)
    statuses = [reply["status"][0] for reply in found["replies"]]
    assert statuses == [200, 200, 415, 200, 415, 415, 200, 200, 400, 400, 200, 200, 200]
    replies = answer(predictor, [request for _, _, request in cases])
    assert [reply["body"] for reply in found["replies"][:9]] == [reply.body for reply in replies[:9]]
    assert [reply["body"] for reply in found["replies"][10:]] == [reply.body for reply in replies[10:]]
    assert "Content-Type: application/octet-stream" in found["replies"][4]["body"]["error"]
