"""A load test of a real server, which is small and answers in capitals."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.peers.base import Exchange, RunningPeer
from benchmarks.serving.load_test import LoadPlan, LoadTest, LoadTestResult
from benchmarks.serving.resources import OtherLoad
from benchmarks.serving.workloads import Workloads
from deploy.run.server_process import ServerProcess, answers_ok, free_port
from dragoman.errors import UnavailableError

SERVER = """
import http.server, sys

class Capitals(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200, b"ready")

    def do_POST(self):
        text = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(*(413, b"too long") if len(text) > 200 else (200, text.upper()))

    def log_message(self, *arguments):
        pass

print("listening", flush=True)
if sys.argv[2] == "broken":
    Capitals.do_POST = lambda self: self.answer(500, b"out of order")
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Capitals).serve_forever()
"""

PLAN = LoadPlan(
    rounds=2,
    ramp_s=0.1,
    seconds=0.4,
    items=40,
    alone=1,
    clients=(32,),
    open_shares=(0.2,),
    other=True,
    mixed=True,
    all_peers=True,
)


class Capitals:
    """The server above as a peer."""

    name, settings = "capitals", "none"
    exchange = Exchange(content_type="text/plain", body=str.encode, output=str)

    def __init__(self, mode: str) -> None:
        self._mode = mode

    def prepare(self, bundle: Any, folder: Path) -> None:
        pass

    def start(self, log: Path) -> RunningPeer:
        url = f"http://127.0.0.1:{(port := free_port())}/"
        command = [sys.executable, "-c", SERVER, str(port), self._mode]
        server = ServerProcess(command, name=self.name, directory=log.parent, environment={}, log=log)
        server.wait_until(lambda: answers_ok(url), within_s=20)
        return RunningPeer(url=url, process=server)


def _load_test(mode: str, number: int, sentences: list[str], logs: Path, told: list[str]) -> LoadTestResult:
    test = LoadTest(
        plan=PLAN,
        workloads=Workloads(
            items=tuple(sentences[: PLAN.items]),
            references=tuple(sentences[: PLAN.items]),
            other=tuple(sentences[100:120]),
            short=tuple(sentences[120:140]),
            long=tuple(" ".join(sentences[start : start + 20]) for start in range(200, 400, 20)),
            cost=12,
            long_cost=400,
        ),
        count=len,
        logs=logs,
        report=lambda label, figures: told.append(label),
    )
    return test.run(Capitals(mode), number)


def test_a_load_test_measures_every_load_of_its_plan_and_keeps_its_part_of_the_outputs(
    toy_sentences: list[str], tmp_path: Path
) -> None:
    told: list[str] = []

    result = _load_test("well", 1, toy_sentences, tmp_path, told)

    # The second of two rounds asks for the second half.
    assert result.outputs == {index: toy_sentences[index].upper() for index in range(20, 40)}
    figures = result.figures
    assert set(figures) == {"start_s", "closed", "other", "open", "mixed", "memory", "others_cores"}
    assert len(told) == PLAN.phases
    for found in (*figures["closed"].values(), figures["other"], figures["open"]["0.2"], figures["mixed"]["alone"]):
        assert found["errors"] == 0
        assert 0 < found["p50_ms"] <= found["p99_ms"] < 5_000
        assert found["requests_per_s"] > 0
        assert found["target_tokens_per_s"] > found["requests_per_s"]
        assert 0 < found["client_cores"] < 1.5
    # Long items are over this server's limit, which is told and not taken for speed.
    long = figures["mixed"]["long"]
    assert long["errors"] == long["answers"]
    assert long["requests_per_s"] == 0
    assert long["error"] in (None, "413: too long")
    assert 0 < figures["start_s"] < 20
    assert 0 <= figures["others_cores"] <= (os.cpu_count() or 1)
    assert 5 < figures["memory"]["largest_mb"] == figures["memory"]["total_mb"] < 200


def test_a_server_that_answers_nothing_fails_with_the_end_of_its_log(toy_sentences: list[str], tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"(?s)does not answer its first request.*500.*the end of .*listening"):
        _load_test("broken", 0, toy_sentences, tmp_path, [])


def test_processor_time_that_others_use_is_seen() -> None:
    # Both turn for half a second of processor time, however long that takes on a busy machine.
    turn = "import time; end = time.process_time() + 0.5\nwhile time.process_time() < end: pass\ntime.sleep(30)"
    others, began = OtherLoad(), time.monotonic()
    with (
        subprocess.Popen([sys.executable, "-c", turn]) as server,
        subprocess.Popen([sys.executable, "-c", turn]) as other,
    ):
        try:
            while any(sum(psutil.Process(one.pid).cpu_times()[:2]) < 0.5 for one in (server, other)):
                time.sleep(0.05)
            seen = others.cores(server.pid) * (time.monotonic() - began)
        finally:
            server.kill()
            other.kill()

    # The machine's clock ticks in hundredths on each core.
    assert seen > 0.4
