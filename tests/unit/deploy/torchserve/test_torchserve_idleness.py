"""Workers are idle when they compute next to nothing, however often they look at something."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from deploy.torchserve.server import QUIET_S, wait_until_idle

# For ever; the second is at work for a twentieth of the time.
BUSY = "print('up', flush=True)\nwhile True: pass"
LOOKING = """
import time
print('up', flush=True)
while True:
    until = time.process_time() + 0.01
    while time.process_time() < until: pass
    time.sleep(0.2)
"""
# At work for some time, and then no more.
FINISHING = """
import signal, time
print('up', flush=True)
while time.process_time() < 1: pass
signal.pause()
"""

Start = Callable[[str], psutil.Process]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def run(program: str) -> psutil.Process:
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return psutil.Process(process.pid)

    yield run
    for process in started:
        process.kill()
        process.communicate()


def _used(process: psutil.Process) -> float:
    spent = process.cpu_times()
    return spent.user + spent.system


def test_a_worker_that_looks_at_something_again_and_again_is_idle(start: Start) -> None:
    worker = start(LOOKING)
    began = time.monotonic()
    assert wait_until_idle(lambda: _used(worker), within_s=20)
    assert time.monotonic() - began < 5 * QUIET_S


def test_a_worker_that_computes_is_not(start: Start) -> None:
    worker = start(BUSY)
    assert not wait_until_idle(lambda: _used(worker), within_s=2 * QUIET_S)


def test_a_worker_is_idle_once_it_has_finished(start: Start) -> None:
    worker = start(FINISHING)
    assert wait_until_idle(lambda: _used(worker), within_s=20)
    assert _used(worker) > 0.9


def test_while_requests_wait_nothing_is_idle() -> None:
    assert not wait_until_idle(lambda: None, within_s=0.3)
