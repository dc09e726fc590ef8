"""A server as a child process: started, waited for until it is ready, and stopped with all its workers."""

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from dragoman.errors import OutputError, UnavailableError

LOOPBACK = "127.0.0.1"
LOG_TAIL_LINES = 15
POLL_S = 0.1
STOP_WITHIN_S = 15.0


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether nobody listens on a port of an address of this machine; one that was closed a moment ago is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def answers_ok(url: str) -> bool:
    """Whether a GET of ``url`` is answered with 200 now."""
    # No proxy of the environment stands between two processes of one machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2.0) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


class ServerProcess:
    """A server in a process group of its own, with its output in a log file; as a context manager it stops at the end.

    Without a log its output goes where this process's does. The process is collected in ``stop`` alone: until then
    nobody else can get its number, which is also its group's.
    """

    def __init__(
        self, command: Sequence[str], *, name: str, directory: Path, environment: Mapping[str, str], log: Path | None
    ) -> None:
        """Start the command; raises OutputError when the log cannot be written."""
        self.name = name
        self.log = log
        try:
            with log.open("wb") if log else contextlib.nullcontext() as output:
                self._process = subprocess.Popen(
                    command,
                    cwd=directory,
                    env={**os.environ, **environment},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise OutputError(f"cannot start {name} with its log in {log}: {error.strerror or error}") from error

    @property
    def pid(self) -> int:
        """The server's process, whose descendants are its workers; valid until ``stop``."""
        return self._process.pid

    def wait_until(self, is_ready: Callable[[], bool], *, within_s: float) -> None:
        """Return once ``is_ready`` says so; otherwise stop the server and raise UnavailableError with its log's end."""
        deadline = time.monotonic() + within_s
        try:
            while not is_ready():
                if self._has_ended():
                    raise self._not_ready(f"ended with exit code {self.stop()} before it was ready")
                if time.monotonic() > deadline:
                    raise self._not_ready(f"was not ready within {within_s:.0f} seconds")
                time.sleep(POLL_S)
        except BaseException:
            # An interrupt too must not leave a server behind that nobody holds any more.
            self.stop()
            raise

    def wait(self) -> None:
        """Wait until the server ends by itself."""
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)

    def terminate(self) -> None:
        """Ask the server to end."""
        # Not Popen.terminate, which collects a process that has ended already.
        os.kill(self._process.pid, signal.SIGTERM)

    def stop(self, within_s: float = STOP_WITHIN_S) -> int:
        """Ask the server to end, end whatever is left of its process group, and return its exit code."""
        if self._process.returncode is None:
            self.terminate()
            deadline = time.monotonic() + within_s
            while not self._has_ended() and time.monotonic() < deadline:
                time.sleep(POLL_S)
            os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait()

    def _has_ended(self) -> bool:
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def log_tail(self) -> str:
        """The last lines of the log."""
        if self.log is None:
            return "(its output is above)"
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-LOG_TAIL_LINES:])

    def _not_ready(self, what: str) -> UnavailableError:
        return UnavailableError(f"{self.name} {what}; the end of {self.log or 'its log'}:\n{self.log_tail()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
