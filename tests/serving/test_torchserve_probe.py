"""What TorchServe's probes say of a server that is overloaded, and of one whose workers are gone."""

import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.torchserve.server import TorchServeProcess
from dragoman.bundle.store import open_bundle
from model_registry.packaging.mar import build_mar
from tests.conftest import ROOT

# More than TorchServe's queue holds (jobQueueSize in handlers/model-config.yaml).
CLIENTS = 150


@pytest.fixture(scope="module")
def server(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TorchServeProcess]:
    folder = tmp_path_factory.mktemp("probed")
    mar = build_mar(open_bundle(tiny_bundle), folder)
    with TorchServeProcess(mar, log=folder / "torchserve.log") as running:
        yield running


def probe(server: TorchServeProcess, *options: str) -> int:
    ports = server.ports
    command = [
        *(sys.executable, "-m", "deploy.torchserve.probe", *options),
        *("--inference-port", str(ports.inference), "--management-port", str(ports.management)),
        *("--metrics-port", str(ports.metrics)),
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True).returncode


def test_an_overloaded_server_still_has_workers(server: TorchServeProcess) -> None:
    assert (probe(server), probe(server, "--workers")) == (0, 0)
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
