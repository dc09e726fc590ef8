"""A server that we start is waited for, explained when it fails, and stopped with everything it started."""

import os
import sys
import time
from pathlib import Path

import pytest

from deploy.run.server_process import KEPT_BYTES, ServerProcess, answers_ok, free_port
from dragoman.errors import OutputError, UnavailableError

# A leader whose worker ignores the polite request to end, as a hung one does. Both say on the log that they are up.
WORKER = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
STUBBORN = f"""
import signal, subprocess, sys
worker = subprocess.Popen([sys.executable, "-c", {WORKER!r}], stdout=subprocess.PIPE)
worker.stdout.readline()
print(worker.pid, flush=True)
signal.pause()
"""


def _start(tmp_path: Path, *arguments: str) -> ServerProcess:
    return ServerProcess(
        [sys.executable, *arguments], name="test server", directory=tmp_path, environment={}, log=tmp_path / "log"
    )


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_server_is_ready_when_it_answers_and_gone_when_it_is_stopped(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    with _start(tmp_path, "-m", "http.server", "--bind", "127.0.0.1", str(port)) as server:
        server.wait_until(lambda: answers_ok(url), within_s=30)
        assert answers_ok(url)
    assert not answers_ok(url)


def test_a_server_that_ends_early_is_reported_with_its_last_words(tmp_path: Path) -> None:
    server = _start(tmp_path, "-c", "import sys; print('no port left'); sys.exit(3)")
    with pytest.raises(
        UnavailableError, match=r"ended with exit code 3 before it was ready; the end of .*\nno port left"
    ):
        server.wait_until(lambda: False, within_s=30)


def test_what_a_server_without_a_log_prints_is_passed_on_and_its_end_is_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = "import sys; print('x' * 200_000); print('no port left'); sys.exit(3)"
    server = ServerProcess(
        [sys.executable, "-c", program], name="test server", directory=tmp_path, environment={}, log=None
    )
    with pytest.raises(UnavailableError, match=r"before it was ready; the end of its output:\n.*\nno port left"):
        server.wait_until(lambda: False, within_s=30)
    assert capfd.readouterr().out == f"{'x' * 200_000}\nno port left\n"
    assert len(server.output()) == KEPT_BYTES


def test_a_server_that_never_gets_ready_is_stopped_at_the_deadline(tmp_path: Path) -> None:
    server = _start(tmp_path, "-c", "import signal; signal.pause()")
    with pytest.raises(UnavailableError, match="not ready within 0 seconds"):
        server.wait_until(lambda: False, within_s=0)
    assert server.stop() < 0


def test_stopping_ends_a_worker_that_does_not_want_to(tmp_path: Path) -> None:
    with _start(tmp_path, "-c", STUBBORN) as server:
        server.wait_until(lambda: server.log_tail().strip().isdigit(), within_s=30)
        worker = int(server.log_tail())
        assert _is_running(worker)
    # Nobody can wait for a process that is not a child; the kernel ends it a moment after the signal.
    deadline = time.monotonic() + 30
    while _is_running(worker):
        assert time.monotonic() < deadline


def test_an_interrupt_while_waiting_leaves_no_server_behind(tmp_path: Path) -> None:
    server = _start(tmp_path, "-c", "import os, signal; print(os.getpid(), flush=True); signal.pause()")

    def interrupted_once_up() -> bool:
        if server.log_tail().strip():
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        server.wait_until(interrupted_once_up, within_s=30)
    assert not _is_running(int(server.log_tail()))


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=f"{tmp_path}{os.sep}missing{os.sep}log"):
        ServerProcess([sys.executable], name="s", directory=tmp_path, environment={}, log=tmp_path / "missing" / "log")
