"""The built Bento in the real server: it answers as the core does, whatever it is sent, and nothing else answers."""

import http.client
import importlib.util
import json
import os
import pickle
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deploy.run.bento import BentoServer
from dragoman.bundle.store import Bundle, open_bundle
from dragoman.errors import UnavailableError
from dragoman.http.protocol import answer
from dragoman.items.bodies import RawRequest
from dragoman.predictor import Predictor, load
from model_registry.packaging.bento import build_bento
from tests.conftest import ROOT
from tests.tiny_model import write_tiny_bundle

BLOCKED_IMPORTS = Path(__file__).parent / "blocked_imports"
SENTENCE = "The man sees the red car."
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


class MakesCanary:
    """An object whose unpickling makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


@pytest.fixture(scope="module")
def bento_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("bentoml")
        patch.setenv("BENTOML_HOME", str(home))
        yield home


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return open_bundle(tiny_bundle)


@pytest.fixture(scope="module")
def predictor(tiny_bundle: Path) -> Iterator[Predictor]:
    predictor = load(tiny_bundle)
    yield predictor
    predictor.close()


@pytest.fixture(scope="module")
def tag(bento_home: Path, bundle: Bundle) -> str:
    return build_bento(bundle)


@pytest.fixture(scope="module")
def server(tag: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BentoServer]:
    """Serve the Bento from a directory and with an import path that hold nothing of this repository."""
    folder = tmp_path_factory.mktemp("server")
    # The tests find the clients that left in the access log.
    environment = {
        "PYTHONPATH": str(BLOCKED_IMPORTS),
        "BLOCKED_IMPORTS": "tokenizers safetensors PIL onnx onnxruntime",
        "DRAGOMAN_ACCESS_LOG": "true",
    }
    with BentoServer(tag, directory=folder, log=folder / "bentoml.log", environment=environment) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: BentoServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def interface(client: httpx.Client) -> dict[str, Any]:
    document: dict[str, Any] = client.get("/docs.json").json()
    return document


def _bentoml(*arguments: str, directory: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bentoml", *arguments], cwd=directory, capture_output=True, text=True, timeout=60
    )


def _exchange(server: BentoServer, head: str, body: bytes = b"") -> tuple[int, dict[str, Any]]:
    """Send raw bytes, and read one answer while the request may be still unfinished."""
    address = httpx.URL(server.url)
    with socket.create_connection((address.host, address.port or 0), timeout=30) as connection:
        connection.sendall(f"POST /translate HTTP/1.1\r\nHost: test\r\n{head}\r\n\r\n".encode() + body)
        response = http.client.HTTPResponse(connection)
        response.begin()
        reply = response.read()
        return response.status, json.loads(reply) if response.getheader("Content-Type") == JSON else {}


GOOD_PAYLOADS: dict[str, dict[str, Any]] = {
    "a text": {"q": SENTENCE},
    "a list": {"q": [SENTENCE, "A woman buys two tickets.", "12"]},
    "a list of one": {"q": [SENTENCE]},
    "alternatives": {"q": [SENTENCE, "Our dog brings some bread today."], "alternatives": 2, "return_scores": True},
    "every field": {
        "q": SENTENCE,
        "source": "en",
        "target": "de",
        "format": "text",
        "alternatives": 1,
        "api_key": "of LibreTranslate's clients",
        "num_beams": 3,
        "max_new_tokens": 7,
        "length_penalty": 0.5,
        "return_scores": True,
    },
}


@pytest.mark.parametrize("name", GOOD_PAYLOADS)
def test_a_translation_is_that_of_the_core(name: str, client: httpx.Client, predictor: Predictor) -> None:
    body = json.dumps(GOOD_PAYLOADS[name]).encode()
    (expected,) = answer(predictor, [RawRequest(body=body, content_type=JSON)])

    response = client.post("/translate", content=body, headers={"Content-Type": JSON})

    assert response.status_code == expected.status == 200
    assert response.headers["content-type"] == JSON
    assert response.content == expected.content


def test_an_answer_has_the_shape_of_the_question(client: httpx.Client, bundle: Bundle) -> None:
    text = client.post("/translate", json={"q": SENTENCE, "alternatives": 2}).json()
    texts = client.post("/translate", json={"q": [SENTENCE, SENTENCE], "alternatives": 2}).json()

    assert isinstance(text["translatedText"], str)
    assert len(text["alternatives"]) == 2
    assert texts["translatedText"] == [text["translatedText"]] * 2
    assert texts["alternatives"] == [text["alternatives"]] * 2
    assert text["model"]["digest"] == f"sha256:{bundle.manifest.digest}"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(SENTENCE.encode(), "text/plain; charset=utf-8"), (b"q=The+man+sees+the+red+car.&alternatives=0", FORM)],
    ids=["plain text", "form"],
)
def test_plain_text_and_forms_are_translated_as_json_is(body: bytes, content_type: str, client: httpx.Client) -> None:
    expected = client.post("/translate", json={"q": SENTENCE})
    response = client.post("/translate", content=body, headers={"Content-Type": content_type})
    assert (response.status_code, response.content) == (200, expected.content)


def test_a_body_without_a_content_type_is_read_as_json(client: httpx.Client) -> None:
    response = client.post("/translate", content=json.dumps({"q": SENTENCE}).encode())
    assert response.status_code == 200


BAD_REQUESTS: dict[str, tuple[bytes, str, int, str, str | None]] = {
    "no body": (b"", JSON, 400, "malformed_json", None),
    "half a JSON": (b'{"q": "The man', JSON, 400, "malformed_json", None),
    "not UTF-8": (b'{"q": "\xff"}', JSON, 400, "malformed_json", None),
    "not a number": (b'{"q": "x", "length_penalty": NaN}', JSON, 400, "malformed_json", None),
    "nested deeply": (b'{"q": ' + b"[" * 9_000, JSON, 400, "malformed_json", None),
    "not an object": (b"[1]", JSON, 400, "invalid_input", None),
    "q missing": (b"{}", JSON, 400, "invalid_input", "q"),
    "q empty": (b'{"q": ""}', JSON, 400, "invalid_input", "q"),
    "q an empty list": (b'{"q": []}', JSON, 400, "invalid_input", "q"),
    "q null": (b'{"q": null}', JSON, 400, "invalid_input", "q"),
    "q with a number": (b'{"q": ["The man", 7]}', JSON, 400, "invalid_input", "q[1]"),
    "too many texts": (json.dumps({"q": ["x"] * 17}).encode(), JSON, 400, "invalid_input", "q"),
    "too many characters": (json.dumps({"q": "x" * 401}).encode(), JSON, 413, "text_too_long", "q"),
    "a wrong pair": (b'{"q": "x", "source": "de", "target": "en"}', JSON, 400, "invalid_input", "source"),
    "an unknown field": (b'{"q": "x", "temperature": 1}', JSON, 400, "invalid_input", "temperature"),
    "a wrong type": (b'{"q": "x", "num_beams": "four"}', JSON, 400, "invalid_input", "num_beams"),
    "a field of BentoML's": (b'{"request": "x"}', JSON, 400, "invalid_input", "request"),
    "a body over the limit": (b" " * 20_001, JSON, 413, "body_too_large", None),
    "JSON as a form": (b'{"q": "x"}', FORM, 415, "unsupported_media_type", None),
    "an image": (b"\x89PNG", "image/png", 415, "unsupported_media_type", None),
    "several parts": (b"--x--", "multipart/form-data; boundary=x", 415, "unsupported_media_type", None),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_an_error_is_that_of_the_core_and_documented(
    name: str, client: httpx.Client, predictor: Predictor, interface: dict[str, Any]
) -> None:
    body, content_type, status, code, field = BAD_REQUESTS[name]
    (expected,) = answer(predictor, [RawRequest(body=body, content_type=content_type)])

    response = client.post("/translate", content=body, headers={"Content-Type": content_type})

    assert (response.status_code, response.json()["code"], response.json().get("field")) == (status, code, field)
    assert response.content == expected.content
    assert response.headers["content-type"] == JSON
    documented = interface["paths"]["/translate"]["post"]["responses"]
    assert code in documented[str(status)]["description"]


def test_a_pickle_is_refused_unopened(client: httpx.Client, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for content_type in ("application/vnd.bentoml+pickle", "application/octet-stream", JSON, FORM):
        for extra in ({}, {"Payload-Container": "Pickle"}):
            response = client.post(
                "/translate",
                content=pickle.dumps(MakesCanary(canary)),
                headers={"Content-Type": content_type, **extra},
            )
            assert response.status_code in (400, 415)
            assert set(response.json()) == {"error", "code"}
    assert not canary.exists()


def test_a_chunked_body_is_refused_before_it_ends(server: BentoServer) -> None:
    chunk = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
    status, body = _exchange(server, f"Content-Type: {JSON}\r\nTransfer-Encoding: chunked", chunk * 5)
    assert (status, body["code"]) == (413, "body_too_large")


def test_a_large_announced_body_is_refused_before_it_is_sent(server: BentoServer) -> None:
    status, body = _exchange(server, f"Content-Type: {JSON}\r\nContent-Length: 999999999999")
    assert (status, body["code"]) == (413, "body_too_large")


def test_no_more_is_read_than_a_short_content_length_announces(server: BentoServer) -> None:
    status, body = _exchange(server, f"Content-Type: {JSON}\r\nContent-Length: 5", b'{"q": "The man"}')
    # Uvicorn prefers httptools where that is installed, which reads on and refuses the rest as a second request.
    answered_by_us = importlib.util.find_spec("httptools") is None
    assert (status, body.get("code")) == (400, "malformed_json" if answered_by_us else None)


def test_a_chunked_body_within_the_limit_is_translated(client: httpx.Client) -> None:
    expected = client.post("/translate", json={"q": SENTENCE})
    pieces = iter([b'{"q": "The man', b' sees the red car."}'])
    response = client.post("/translate", content=pieces, headers={"Content-Type": JSON})
    assert response.content == expected.content


def test_a_client_that_leaves_does_no_harm(server: BentoServer, client: httpx.Client) -> None:
    address = httpx.URL(server.url)
    for _ in range(5):
        with socket.create_connection((address.host, address.port or 0), timeout=30) as connection:
            connection.sendall(b'POST /translate HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\n{"q"')
    deadline = time.monotonic() + 30
    while server.log.read_text().count("status=499") < 5:
        assert client.post("/translate", json={"q": SENTENCE}).status_code == 200
        assert time.monotonic() < deadline
    assert "Traceback" not in server.log.read_text()


def test_other_places_and_methods_get_errors_of_the_same_form(client: httpx.Client) -> None:
    missing = client.get("/translations")
    wrong = client.get("/translate")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["code"], wrong.headers["allow"]) == (405, "method_not_allowed", "POST")
    assert client.post("/languages").json()["code"] == "method_not_allowed"


def test_the_languages_are_listed_as_libretranslate_does(client: httpx.Client) -> None:
    assert client.get("/languages").json() == [
        {"code": "en", "name": "English", "targets": ["de"]},
        {"code": "de", "name": "German", "targets": []},
    ]


def test_a_served_bento_is_alive_and_ready(client: httpx.Client) -> None:
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 200
    assert "bentoml_service_request_total" in client.get("/metrics").text


def test_the_interface_is_documented_with_the_limits_of_the_bundle(interface: dict[str, Any]) -> None:
    operation = interface["paths"]["/translate"]["post"]
    request = interface["components"]["schemas"]["Request"]
    text, texts = request["properties"]["q"]["oneOf"]
    assert (text["maxLength"], texts["maxItems"]) == (400, 16)
    assert request["properties"]["source"]["enum"] == ["en"]
    assert set(operation["requestBody"]["content"]) == {JSON, "text/plain", FORM}
    assert set(operation["responses"]) == {"200", "400", "413", "415", "422", "500", "503", "504"}
    assert {"/languages", "/livez", "/readyz", "/metrics"} < set(interface["paths"])


def test_the_examples_of_the_interface_work(client: httpx.Client, interface: dict[str, Any]) -> None:
    content = interface["paths"]["/translate"]["post"]["requestBody"]["content"]
    for example in content[JSON]["examples"].values():
        assert client.post("/translate", json=example["value"]).status_code == 200
    form = client.post("/translate", data=content[FORM]["example"])
    plain = client.post("/translate", content=content["text/plain"]["example"], headers={"Content-Type": "text/plain"})
    assert form.status_code == plain.status_code == 200


def test_the_page_shows_the_interface_and_loads_nothing_from_elsewhere(client: httpx.Client) -> None:
    page = client.get("/").text
    assert "swagger-ui" in page
    assert "//" not in page
    for part in page.split('"')[1::2]:
        if part.startswith("./"):
            assert client.get(part.removeprefix(".")).status_code == 200


def test_many_clients_at_once_each_get_their_own_translation(
    client: httpx.Client, predictor: Predictor, toy_sentences: list[str]
) -> None:
    bodies = [json.dumps({"q": text}).encode() for text in toy_sentences[:120]]
    with ThreadPoolExecutor(24) as clients:
        responses = list(clients.map(lambda body: client.post("/translate", content=body), bodies))
    assert [response.content for response in responses] == [
        answer(predictor, [RawRequest(body=body)])[0].content for body in bodies
    ]


def _distinct_texts(count: int) -> list[str]:
    """Make texts of one sentence and about eighty tokens, no two of them the same work."""
    chooser = random.Random(5)
    words = ["man", "woman", "sister", "teacher", "dog", "sees", "buys", "brings", "car", "tickets", "tea", "station"]
    return [" ".join(chooser.choices(words, k=20)) for _ in range(count)]


def _metric(client: httpx.Client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.partition("{")[0].split()[:1] == [name])


def test_beyond_a_bounded_queue_requests_are_turned_away_at_once(server: BentoServer) -> None:
    texts = _distinct_texts(3 * 100)
    requests = [{"q": texts[3 * n : 3 * n + 3], "num_beams": 8} for n in range(100)]
    limits = httpx.Limits(max_connections=None)
    with (
        httpx.Client(base_url=server.url, timeout=60, trust_env=False, limits=limits) as client,
        ThreadPoolExecutor(100) as clients,
    ):
        responses = list(clients.map(lambda request: client.post("/translate", json=request), requests))
        assert _metric(client, "dragoman_queue_items") == _metric(client, "dragoman_queue_tokens") == 0

    refused = [response for response in responses if response.status_code == 503]
    assert refused
    assert {(response.json()["code"], response.headers["retry-after"]) for response in refused} == {("overloaded", "1")}
    assert all("are waiting and the limits are" in response.json()["error"] for response in refused)
    served = [response for response in responses if response.status_code == 200]
    # A beam of eight counts eight times, so about thirty of these fill the queue.
    assert len(served) >= 20
    assert len(served) + len(refused) == 100
    assert all(len(response.json()["translatedText"]) == 3 for response in served)


def test_what_a_client_waited_for_that_left_is_not_computed(
    server: BentoServer, client: httpx.Client, predictor: Predictor
) -> None:
    texts = _distinct_texts(63)
    waited_for, left_behind = texts[:60], texts[60:]
    tokens = sum(len(item.ids) for text in waited_for for item in predictor.task.prepare(text).items)
    body = json.dumps({"q": left_behind, "num_beams": 2}).encode()
    head = f"POST /translate HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    address = httpx.URL(server.url)
    before = _metric(client, "dragoman_tokens_in_total")
    arrived_before = _metric(client, "dragoman_waiting_seconds_count")

    def have_arrived() -> float:
        queued = _metric(client, "dragoman_queue_items")
        return queued + _metric(client, "dragoman_waiting_seconds_count") - arrived_before

    left = server.log.read_text().count("status=499")
    with ThreadPoolExecutor(60) as clients, socket.create_connection((address.host, address.port or 0)) as connection:
        slow = {"num_beams": 8, "max_new_tokens": 64}
        answers = [clients.submit(client.post, "/translate", json={"q": text, **slow}) for text in waited_for]
        deadline = time.monotonic() + 30
        while have_arrived() < 60:
            assert time.monotonic() < deadline
        connection.sendall(head + body)
        while have_arrived() < 63:
            assert time.monotonic() < deadline
        connection.close()
        while server.log.read_text().count("status=499") == left:
            assert time.monotonic() < deadline
        assert {answer.result().status_code for answer in answers} == {200}

    assert _metric(client, "dragoman_tokens_in_total") - before == tokens
    assert _metric(client, "dragoman_queue_items") == 0


def test_the_metrics_show_queue_batches_tokens_and_the_model(client: httpx.Client, bundle: Bundle) -> None:
    client.post("/translate", json={"q": SENTENCE})
    page = client.get("/metrics").text
    kinds = dict(re.findall(r"# TYPE (dragoman_\w+) (\w+)", page))
    assert kinds == {
        "dragoman_queue_items": "gauge",
        "dragoman_queue_tokens": "gauge",
        "dragoman_waiting_seconds": "histogram",
        "dragoman_batch_items": "histogram",
        "dragoman_batch_tokens": "histogram",
        "dragoman_padding_ratio": "histogram",
        "dragoman_tokens_in_total": "counter",
        "dragoman_tokens_out_total": "counter",
        "dragoman_model_info": "gauge",
        "dragoman_engine_info": "gauge",
        "dragoman_ready": "gauge",
    }
    (labels,) = re.findall(r"dragoman_model_info\{(.*)\} 1\.0", page)
    manifest = bundle.manifest
    assert dict(re.findall(r'(\w+)="([^"]*)"', labels)) == {
        "name": manifest.name,
        "version": manifest.version,
        "digest": f"sha256:{manifest.digest}",
    }
    counts = [_metric(client, f"dragoman_{name}_count") for name in ("batch_items", "batch_tokens", "padding_ratio")]
    assert counts[0] == counts[1] == counts[2] >= 1
    assert _metric(client, "dragoman_waiting_seconds_count") >= counts[0]
    assert _metric(client, "dragoman_batch_tokens_sum") == _metric(client, "dragoman_tokens_in_total")
    assert _metric(client, "dragoman_tokens_out_total") >= 1


def test_bentomls_own_client_can_call_the_service(server: BentoServer) -> None:
    script = (
        "import bentoml, sys\n"
        "with bentoml.SyncHTTPClient(sys.argv[1]) as client:\n"
        "    print(client.translate(q='The man sees the red car.')['finish_reason'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script, server.url], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() in ("stop", "length"), done.stderr


def test_an_exported_bento_brings_everything_it_needs(tag: str, bundle: Bundle, tmp_path: Path) -> None:
    exported = _bentoml("export", tag, str(tmp_path / "exported.bento"))
    assert exported.returncode == 0, exported.stderr
    with tarfile.open(tmp_path / "exported.bento") as archive:
        archive.extractall(tmp_path / "bento", filter="data")
    environment = {"BENTOML_HOME": str(tmp_path / "empty"), "PYTHONPATH": str(BLOCKED_IMPORTS)}

    log = tmp_path / "bentoml.log"
    with BentoServer(str(tmp_path / "bento"), directory=tmp_path, log=log, environment=environment) as server:
        body = httpx.post(f"{server.url}/translate", json={"q": SENTENCE}, trust_env=False).json()

    assert body["model"]["digest"] == f"sha256:{bundle.manifest.digest}"


def test_the_servers_above_run_where_training_is_not_installed(tmp_path: Path) -> None:
    script = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        print(name)
"""
    blocked = ["torch", "transformers", "mlflow", "optuna", "datasets", "sacrebleu", "hydra", "dragoman"]
    done = subprocess.run(
        [sys.executable, "-c", script, *blocked, "ctranslate2", "bentoml"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(BLOCKED_IMPORTS)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == blocked


def test_readiness_waits_for_a_warm_up_translation_and_the_settings_are_understood(tag: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.serving.bento_in_process"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])

    assert seen["config"] == seen["config_as_understood"]
    assert seen["config"] == {
        "workers": 1,
        "traffic": {"timeout": 75},
        "http": {"host": "127.0.0.1"},
        # Nothing is added to a request that nobody reads.
        "logging": {"access": {"enabled": False}},
        "tracing": {"excluded_urls": ".*"},
    }
    status, body, retry_after = seen["served"]["ready_before"]
    assert (status, json.loads(body)["code"], retry_after) == (503, "not_ready", "1")
    assert seen["served"]["alive_before"][0] == 200
    assert seen["served"]["shown_ready"] == 1
    assert seen["served"]["ready_after"][0] == 200
    assert seen["served"]["late"][0] == 504
    assert seen["served"]["late"][1]["code"] == "deadline_exceeded"
    assert seen["failed_warm_up"] == {"ready": False, "alive": False}


def test_a_bento_holds_the_service_and_the_core_alone(tag: str, bento_home: Path, bundle: Bundle) -> None:
    name, _, version = tag.partition(":")
    folder = bento_home / "bentos" / name / version
    assert (name, version) == (bundle.manifest.name, bundle.manifest.version)
    assert {path.name for path in (folder / "src").iterdir()} == {"service.py", "bentofile.yaml", "dragoman"}
    requirements = (folder / "env" / "python" / "requirements.txt").read_text().split()
    assert [line.partition("==")[0] for line in requirements] == [
        "ctranslate2",
        "sentencepiece",
        "sentencex",
        "uvloop",
        "httptools",
        "bentoml",
    ]
    assert set(requirements) <= set((ROOT / "constraints.txt").read_text().split("\n"))
    # BentoML installs its build tools once.
    assert (folder / "env" / "docker" / "Dockerfile").read_text().count("apt-get update") == 1
    assert (folder / "README.md").read_text() == (bundle.path / "MODEL_CARD.md").read_text()
    stored = open_bundle(bento_home / "models" / name / version / "bundle")
    assert stored.manifest.digest == bundle.manifest.digest


def test_building_again_builds_nothing_unless_something_was_altered(tag: str, bento_home: Path, bundle: Bundle) -> None:
    name, _, version = tag.partition(":")
    description = bento_home / "bentos" / name / version / "bento.yaml"
    built = yaml.safe_load(description.read_text())["creation_time"]
    assert build_bento(bundle) == tag
    assert yaml.safe_load(description.read_text())["creation_time"] == built

    packed = bento_home / "bentos" / name / version / "src" / "service.py"
    packed.write_text(packed.read_text() + "# altered\n")
    stored = bento_home / "models" / name / version / "bundle" / "config.yaml"
    stored.write_text("altered: true\n")
    assert build_bento(bundle) == tag
    assert packed.read_bytes() == (ROOT / "service.py").read_bytes()
    assert stored.read_bytes() == (bundle.path / "config.yaml").read_bytes()


def test_bentoml_build_packs_the_packages_that_packaging_wrote_beside_the_model(
    tag: str, bento_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(bento_home, tmp_path / "home", ignore=shutil.ignore_patterns("prometheus_multiproc_dir"))
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
    packages = tmp_path / "home" / "models" / tag.replace(":", "/") / "requirements.txt"
    packages.write_text("of-the-task==1.0\n")
    built = _bentoml("build", "--version", "by-hand", "--arg", f"bundle={tag}")
    assert built.returncode == 0, built.stderr
    lines = (tmp_path / "home" / "bentos" / "dragoman" / "by-hand" / "env" / "python" / "requirements.txt").read_text()
    assert [line.partition("==")[0] for line in lines.split()] == ["of-the-task", "uvloop", "httptools", "bentoml"]

    packages.unlink()
    built = _bentoml("build", "--version", "of-an-older-model")
    assert built.returncode == 1
    assert "was packaged by an older version; run `python -m model_registry package` again" in built.stderr


def test_an_altered_bundle_is_not_served(
    tag: str, bento_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(bento_home, tmp_path / "home", ignore=shutil.ignore_patterns("prometheus_multiproc_dir"))
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
    weights = tmp_path / "home" / "models" / tag.replace(":", "/") / "bundle" / "engines" / "ct2-int8" / "model.bin"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)

    for target, directory in ((tag, tmp_path), (".", ROOT)):
        served = _bentoml("serve", target, "--port", "1", directory=directory)
        assert served.returncode == 78
        assert f"error: artifact digest mismatch: {weights} expected sha256:" in served.stderr
        assert "Traceback" not in served.stderr


def test_requests_that_were_sent_when_sigterm_came_are_read_and_answered(tag: str, tmp_path: Path) -> None:
    with BentoServer(tag, directory=tmp_path, log=tmp_path / "log") as server:
        host, _, port = server.url.removeprefix("http://").partition(":")
        body = json.dumps({"q": SENTENCE}).encode()
        head = f"POST /translate HTTP/1.1\r\nHost: {host}\r\nContent-Type: {JSON}\r\nConnection: close\r\n"
        request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        connections = [socket.create_connection((host, int(port)), timeout=60) for _ in range(60)]
        for connection in connections[:-1]:
            connection.sendall(request)
        os.kill(server.pid, signal.SIGTERM)
        connections[-1].sendall(request)
        answers = [_all_of(connection) for connection in connections]
        assert server.stop() == 0
    assert [answer.split(b" ", 2)[1] for answer in answers] == [b"200"] * 60


def _all_of(connection: socket.socket) -> bytes:
    with connection:
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_a_port_that_is_taken_ends_the_start_with_its_reason(tag: str, server: BentoServer, tmp_path: Path) -> None:
    port = server.url.rpartition(":")[2]
    served = _bentoml("serve", tag, "--port", port, directory=tmp_path)
    assert served.returncode == 1
    assert f"Could not bind 127.0.0.1:{port}" in served.stdout
    assert served.stderr.rstrip().endswith("Address already in use")


def test_following_a_directory_that_is_not_there_is_refused_at_the_start(
    tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAGOMAN_FOLLOW", str(tmp_path / "nowhere"))
    served = _bentoml("serve", tag, "--port", "0", directory=tmp_path)
    assert served.returncode == 64
    assert f"error: DRAGOMAN_FOLLOW must name a directory, {tmp_path / 'nowhere'} is none" in served.stderr


def test_an_unknown_way_of_mixing_is_refused_at_the_start(
    tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAGOMAN_MIXING", "always")
    served = _bentoml("serve", tag, "--port", "0", directory=tmp_path)
    assert served.returncode == 64
    assert "error: DRAGOMAN_MIXING must be auto, free or by_width, got 'always'" in served.stderr


def test_without_a_packaged_model_serving_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
    served = _bentoml("serve")
    assert served.returncode == 1
    assert "no model is packaged yet; run `python -m model_registry package" in served.stderr
    assert len(served.stderr.strip().splitlines()) == 1


def test_the_start_helper_tells_why_a_server_did_not_start(tag: str, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"ended with exit code 1 .*\n.*no-such-model"):
        BentoServer("no-such-model:1", directory=tmp_path, log=tmp_path / "bentoml.log")


def test_the_root_serves_what_was_packaged_last_and_a_bento_what_it_was_built_with(
    tag: str, bundle: Bundle, tmp_path: Path, toy_sentences: list[str]
) -> None:
    built = _bentoml("build", "--output", "tag")
    assert built.returncode == 0, built.stderr
    other = open_bundle(write_tiny_bundle(tmp_path, toy_sentences, seed=2, name="other"))
    build_bento(other)

    served = {}
    for target in (".", built.stdout.strip().removeprefix("__tag__:")):
        with BentoServer(target, log=tmp_path / "bentoml.log") as server:
            body = httpx.post(f"{server.url}/translate", json={"q": SENTENCE}, trust_env=False).json()
            served[target] = body["model"]["name"]

    assert list(served.values()) == ["other", bundle.manifest.name]
    build_bento(bundle)
    with BentoServer(log=tmp_path / "bentoml.log") as server:
        body = httpx.post(f"{server.url}/translate", json={"q": SENTENCE}, trust_env=False).json()
    assert body["model"]["name"] == bundle.manifest.name
