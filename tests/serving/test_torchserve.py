"""The packaged archive in the real TorchServe: it answers as the core does, and nothing else of it is open."""

import ipaddress
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.torchserve.config import Ports
from deploy.torchserve.front_end import FrontEnd
from deploy.torchserve.grpc_client import InferenceClient, checked
from deploy.torchserve.server import TorchServeProcess
from dragoman.bundle.store import open_bundle
from dragoman.errors import ConfigError, InvalidInput, UnavailableError
from dragoman.http.protocol import Reply, answer, error_reply
from dragoman.items.bodies import RawRequest, repeated_form_field
from dragoman.predictor import Predictor, load
from model_registry.packaging.mar import build_mar
from tests.conftest import ROOT

SENTENCE = "The man sees the red car."
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
TEXT = "text/plain"
# More than TorchServe's queue holds (jobQueueSize in handlers/model-config.yaml).
CLIENTS = 150
ONE_WORKER = FrontEnd(batch_size=16, workers=1)


@pytest.fixture(scope="module")
def predictor(tiny_bundle: Path) -> Iterator[Predictor]:
    predictor = load(tiny_bundle)
    yield predictor
    predictor.close()


@pytest.fixture(scope="module")
def mar(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_mar(open_bundle(tiny_bundle), tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def server(mar: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TorchServeProcess]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_SECRET_ACCESS_KEY", "not for the worker")
        patch.setenv("TS_CONFIG_FILE", "/of/another/torchserve")
        with TorchServeProcess(mar, log=tmp_path_factory.mktemp("server") / "torchserve.log") as server:
            yield server


@pytest.fixture(scope="module")
def client(server: TorchServeProcess) -> Iterator[httpx.Client]:
    with httpx.Client(timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def grpc_client(server: TorchServeProcess) -> Iterator[InferenceClient]:
    with InferenceClient(server.grpc_address) as client:
        yield client


def _post(client: httpx.Client, server: TorchServeProcess, request: RawRequest) -> httpx.Response:
    headers = {} if request.content_type is None else {"Content-Type": request.content_type}
    return client.post(server.url, content=request.body, headers=headers)


def _workers(client: httpx.Client, server: TorchServeProcess) -> list[psutil.Process]:
    """Return the processes that hold the model; a restarted worker is another one."""
    (model,) = client.get(f"{server.management_url}/models/{server.model}").json()
    return [psutil.Process(pid) for pid in sorted(worker["pid"] for worker in model["workers"])]


def _payload(**fields: object) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode()


REQUESTS = {
    "a text": RawRequest(body=_payload(q=SENTENCE), content_type=JSON),
    "a list": RawRequest(body=_payload(q=[SENTENCE, "12", "Größe 🚲"]), content_type=f"{JSON}; charset=utf-8"),
    "options": RawRequest(body=_payload(q=SENTENCE, alternatives=2, return_scores=True), content_type=JSON),
    "no content type": RawRequest(body=_payload(q=SENTENCE)),
    "plain text": RawRequest(body="Größe & 50 % = 1".encode(), content_type=f"{TEXT}; charset=utf-8"),
    "a form": RawRequest(body=b"q=Our+dog+brings+50%25&source=en&target=de&alternatives=1", content_type=FORM),
    "JSON sent as a form": RawRequest(body=b'{"q":"Our dog"}', content_type=FORM),
    "JSON with = and & sent as a form": RawRequest(body=b'{"q":"a=b&c=d; e"}', content_type=FORM),
    "a form without q": RawRequest(body=b"source=en", content_type=FORM),
    "multipart": RawRequest(
        body=b'--x\r\nContent-Disposition: form-data; name="q"\r\n\r\na\r\n--x--\r\n',
        content_type="multipart/form-data; boundary=x",
    ),
    "XML": RawRequest(body=b"<q/>", content_type="application/xml"),
    "nothing": RawRequest(content_type=JSON),
    "half an object": RawRequest(body=b'{"q": ', content_type=JSON),
    "NaN": RawRequest(body=b'{"q": "a", "length_penalty": NaN}', content_type=JSON),
    "a key twice": RawRequest(body=b'{"q": "a", "q": "b"}', content_type=JSON),
    "not UTF-8": RawRequest(body=b'{"q": "M\xfcller"}', content_type=JSON),
    "an umlaut in the error": RawRequest(body=_payload(q="a", größe=1), content_type=JSON),
    "half of a surrogate pair in the error": RawRequest(body=b'{"q": "a", "\\ud800": 1}', content_type=JSON),
    "an empty text": RawRequest(body=_payload(q=["a", " "]), content_type=JSON),
    "a text too long": RawRequest(body=_payload(q="a" * 401), content_type=JSON),
    "a body too large": RawRequest(body=_payload(q="a" * 20_000), content_type=JSON),
    "a form too large": RawRequest(body=b"q=" + b"a" * 20_000, content_type=FORM),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_rest_answers_as_the_core_does(
    name: str, client: httpx.Client, server: TorchServeProcess, predictor: Predictor
) -> None:
    (expected,) = answer(predictor, [REQUESTS[name]])

    response = _post(client, server, REQUESTS[name])

    assert Reply(response.status_code, response.json()) == expected
    assert response.headers["content-type"] == JSON
    assert response.reason_phrase.isascii()


def test_the_cases_above_are_good_and_bad_ones(predictor: Predictor) -> None:
    statuses = {name: answer(predictor, [request])[0].status for name, request in REQUESTS.items()}
    assert list(statuses.values()) == [200] * 6 + [415, 415, 400, 415, 415] + [400] * 8 + [413] * 3


@pytest.mark.parametrize("name", [name for name, request in REQUESTS.items() if request.content_type == JSON])
def test_grpc_answers_with_the_body_of_the_core(
    name: str, grpc_client: InferenceClient, server: TorchServeProcess, predictor: Predictor
) -> None:
    (expected,) = answer(predictor, [REQUESTS[name]])
    assert grpc_client.predict(server.model, REQUESTS[name].body) == expected.body


def test_grpc_takes_a_body_under_either_name_and_a_form(
    grpc_client: InferenceClient, server: TorchServeProcess, predictor: Predictor
) -> None:
    (expected,) = answer(predictor, [REQUESTS["a text"]])
    for inputs in ({"data": _payload(q=SENTENCE)}, {"body": _payload(q=SENTENCE)}, {"q": SENTENCE.encode()}):
        assert grpc_client.send(server.model, inputs) == expected.body


def test_the_grpc_client_raises_what_the_server_said(grpc_client: InferenceClient, server: TorchServeProcess) -> None:
    with pytest.raises(InvalidInput, match="q is empty") as caught:
        checked(grpc_client.predict(server.model, {"q": ""}))
    assert (caught.value.code, caught.value.field) == ("invalid_input", "q")
    with pytest.raises(UnavailableError, match="INTERNAL Model not found: another"):
        grpc_client.predict("another", {"q": "a"})
    with InferenceClient("127.0.0.1:1") as nobody, pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1 gave no"):
        nobody.predict("any", {"q": "a"})


def test_streaming_over_grpc_does_not_end_the_worker(
    grpc_client: InferenceClient, client: httpx.Client, server: TorchServeProcess, predictor: Predictor
) -> None:
    workers = _workers(client, server)
    for body in (_payload(q=SENTENCE), b"{"):
        (expected,) = answer(predictor, [RawRequest(body=body, content_type=JSON)])
        assert grpc_client.predict_stream(server.model, body) == [expected.body]
    assert _post(client, server, REQUESTS["a text"]).status_code == 200
    assert _workers(client, server) == workers
    assert all(worker.is_running() for worker in workers)


def test_bad_requests_do_not_harm_the_good_ones_that_share_their_batch(
    client: httpx.Client, grpc_client: InferenceClient, server: TorchServeProcess, predictor: Predictor
) -> None:
    good = [RawRequest(body=_payload(q=f"{SENTENCE} {number}"), content_type=JSON) for number in range(24)]
    bad = [
        REQUESTS[name] for name in ("half an object", "XML", "an empty text", "JSON sent as a form", "a text too long")
    ]
    requests = [request for index in range(24) for request in (good[index], bad[index % len(bad)])]
    expected = answer(predictor, requests)
    batches = server.log.read_text().count("Backend received inference")

    with ThreadPoolExecutor(32) as pool:
        streamed = pool.submit(grpc_client.predict_stream, server.model, _payload(q=SENTENCE))
        responses = list(pool.map(lambda request: _post(client, server, request), requests))

    assert [Reply(response.status_code, response.json()) for response in responses] == expected
    assert "translatedText" in streamed.result()[0]
    assert server.log.read_text().count("Backend received inference") - batches < len(requests)


def test_a_form_that_torchserve_cuts_is_refused(client: httpx.Client, server: TorchServeProcess) -> None:
    response = _post(client, server, RawRequest(body=b"q=Good+morning.&q=Good+evening.", content_type=FORM))
    assert (response.status_code, response.json()) == (400, error_reply(repeated_form_field()).body)


def test_models_cannot_be_registered_or_removed(client: httpx.Client, server: TorchServeProcess, mar: Path) -> None:
    models = f"{server.management_url}/models"
    for url in (mar.as_uri(), mar.name, "http://127.0.0.1:1/evil.mar"):
        assert client.post(models, params={"url": url}).status_code == 405
    assert client.delete(f"{models}/{server.model}").status_code == 405
    assert [model["modelName"] for model in client.get(models).json()["models"]] == [server.model]


def test_every_socket_listens_on_the_loopback_interface_alone(client: httpx.Client, server: TorchServeProcess) -> None:
    workers = _workers(client, server)
    torchserve = workers[0].parent()
    assert torchserve is not None
    sockets = [
        connection.laddr
        for process in (torchserve, *workers)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert {address.port for address in sockets} == set(vars(server.ports).values())
    for address in sockets:
        ip = ipaddress.ip_address(address.ip)
        assert (getattr(ip, "ipv4_mapped", None) or ip).is_loopback


def test_the_worker_gets_no_secrets_of_the_environment(client: httpx.Client, server: TorchServeProcess) -> None:
    for worker in _workers(client, server):
        environment = worker.environ()
        assert "AWS_SECRET_ACCESS_KEY" not in environment
        assert environment["OMP_NUM_THREADS"] == "1"


def test_metrics_are_prometheus_metrics(client: httpx.Client, server: TorchServeProcess) -> None:
    _post(client, server, REQUESTS["a text"])
    metrics = client.get(server.metrics_url).text
    assert re.search(rf'^ts_inference_requests_total{{model_name="{server.model}",.*}} [1-9]', metrics, re.MULTILINE)


def test_batch_size_and_workers_can_be_others_than_the_archives(
    client: httpx.Client, mar: Path, tmp_path: Path, predictor: Predictor
) -> None:
    requests = [RawRequest(body=_payload(q=f"{SENTENCE} {number}"), content_type=JSON) for number in range(12)]
    expected = answer(predictor, requests)

    with TorchServeProcess(mar, log=tmp_path / "log", front_end=FrontEnd(batch_size=4, workers=1)) as changed:
        (model,) = client.get(f"{changed.management_url}/models/{changed.model}").json()
        with ThreadPoolExecutor(12) as pool:
            responses = list(pool.map(lambda request: _post(client, changed, request), requests))

    assert (model["batchSize"], model["minWorkers"], model["maxWorkers"], len(model["workers"])) == (4, 1, 1, 1)
    # What the archive says besides stays.
    assert (model["maxBatchDelay"], model["responseTimeout"]) == (5, 300)
    assert [Reply(response.status_code, response.json()) for response in responses] == expected


def test_the_archives_own_numbers_hold_unless_others_are_given(client: httpx.Client, server: TorchServeProcess) -> None:
    (model,) = client.get(f"{server.management_url}/models/{server.model}").json()
    assert (model["batchSize"], model["minWorkers"], len(model["workers"])) == (16, 2, 2)


def test_a_server_whose_ports_are_taken_does_not_start(server: TorchServeProcess, mar: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"port {server.ports.inference} of 127.0.0.1 is in use"):
        TorchServeProcess(mar, log=tmp_path / "log", ports=server.ports)


@pytest.mark.parametrize("log", [None, "torchserve.log"])
def test_an_archive_with_an_altered_bundle_does_not_start_and_says_why(
    log: str | None, mar: Path, tmp_path: Path, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(short_path))
    altered = tmp_path / mar.name
    with zipfile.ZipFile(mar) as source, zipfile.ZipFile(altered, "w") as target:
        for entry in source.infolist():
            content = source.read(entry)
            target.writestr(entry, content[:-1] + b"?" if entry.filename.endswith("spiece.model") else content)

    with pytest.raises(UnavailableError, match=r"cannot load the model: artifact digest mismatch: .*spiece\.model"):
        TorchServeProcess(altered, log=tmp_path / log if log else None, front_end=None if log else ONE_WORKER)

    assert list(short_path.iterdir()) == []


def test_the_command_serves_until_it_is_told_to_end(mar: Path, short_path: Path) -> None:
    ports = Ports.free()
    command = [sys.executable, "-m", "deploy.torchserve", "--mar", str(mar), "--log", str(short_path / "log")]
    command += ["--port", str(ports.inference), "--grpc-port", str(ports.grpc_inference)]
    command += ["--management-port", str(ports.management), "--metrics-port", str(ports.metrics)]
    # Another address of the loopback interface: what is printed must be where it listens.
    command += ["--grpc-management-port", str(ports.grpc_management), "--host", "127.0.0.2"]
    environment = {**os.environ, "TMPDIR": str(short_path)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed: list[str] = []
        while not printed or "grpc_client" not in printed[-1]:
            line = process.stdout.readline()
            assert line, "the command ended before it was ready"
            printed.append(line.strip())
        example = shlex.split(printed[-1])
        assert example[0] == "python"
        translated = subprocess.run(
            [sys.executable, *example[1:]], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert translated.stdout.strip()
    assert len(children) == 3
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert [path.name for path in short_path.iterdir()] == ["log"]


def probe(server: TorchServeProcess, *options: str) -> int:
    ports = server.ports
    command = [
        *(sys.executable, "-m", "deploy.torchserve.probe", *options),
        *("--inference-port", str(ports.inference), "--management-port", str(ports.management)),
        *("--metrics-port", str(ports.metrics)),
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True).returncode


def test_an_overloaded_server_still_has_workers(server: TorchServeProcess) -> None:
    # Once it has computed what the tests before this one have asked for.
    server.wait_until(lambda: probe(server) == 0, within_s=60)
    assert probe(server, "--workers") == 0
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    stopped, refused, other = threading.Event(), threading.Event(), set()

    def client(number: int) -> None:
        texts = [f"The man {number} {line} sees the red car." for line in range(8)]
        body = json.dumps({"q": texts, "num_beams": 4}).encode()
        while not stopped.is_set():
            request = urllib.request.Request(server.url, body, {"Content-Type": "application/json"})
            try:
                opener.open(request, timeout=60).close()
            except urllib.error.HTTPError as error:
                other.update({error.code} - {503})
                refused.set()

    clients = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for each in clients:
        each.start()
    try:
        assert refused.wait(30)
        assert [probe(server, "--workers") for _ in range(3)] == [0, 0, 0]
    finally:
        stopped.set()
        for each in clients:
            each.join()
    assert other == set()


# The last one, after which the server of this module is of no more use.
def test_a_server_without_workers_is_found_out_although_torchserve_calls_itself_healthy(
    server: TorchServeProcess,
) -> None:
    workers = [
        process
        for process in psutil.Process(server.pid).children(recursive=True)
        if "model_service_worker" in " ".join(process.cmdline())
    ]
    assert len(workers) == 2
    for worker in workers:
        worker.kill()
    psutil.wait_procs(workers, timeout=10)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    ping = opener.open(f"http://127.0.0.1:{server.ports.inference}/ping", timeout=5)
    assert json.load(ping) == {"status": "Healthy"}
    assert probe(server, "--workers") == 69
