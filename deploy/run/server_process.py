"""A server as a child process: started, waited for until it is ready, and stopped with all its workers."""

import contextlib
import errno
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Self

from dragoman.errors import ConfigError, OutputError, UnavailableError

LOOPBACK = "127.0.0.1"
LOG_TAIL_LINES = 15
POLL_S = 0.1
STOP_WITHIN_S = 15.0
# Of an output that goes on to this process's, so much of its end is kept.
KEPT_BYTES = 1 << 16
STDOUT = 1


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Tell whether nobody listens on a port of an address of this machine; one closed a moment ago is free.

    Raises ConfigError where this process cannot listen for another reason.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise ConfigError(
                f"cannot listen on port {port} of {host}: {error.strerror or error}; it must be an IPv4 address of "
                "this machine, or 0.0.0.0 for all of them, and ports below 1024 are often root's"
            ) from error
        return True


def answers_ok(url: str) -> bool:
    """Tell whether a GET of ``url`` is answered with 200 now."""
    # No proxy of the environment stands between two processes of one machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2.0) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


class ServerProcess:
    """A server in a process group of its own, with its output in a log file; as a context manager it stops at the end.

    Without a log its output goes on to this process's, and its end is kept. The process is collected in ``stop`` alone:
    until then nobody else can get its number, which is also its group's.
    """

    def __init__(
        self, command: Sequence[str], *, name: str, directory: Path, environment: Mapping[str, str], log: Path | None
    ) -> None:
        """Start the command; raises OutputError when the log cannot be written."""
        self.name = name
        self.log = log
        self._end = b""
        self._copying: threading.Thread | None = None
        try:
            with log.open("wb") if log else contextlib.nullcontext(subprocess.PIPE) as output:
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
        if self._process.stdout is not None:
            self._copying = threading.Thread(target=self._pass_on, args=(self._process.stdout,), daemon=True)
            self._copying.start()

    @property
    def pid(self) -> int:
        """The id of the server's process, whose descendants are its workers; valid until ``stop``."""
        return self._process.pid

    def wait_until(self, is_ready: Callable[[], bool], *, within_s: float) -> None:
        """Return once ``is_ready`` says so; otherwise stop the server and raise UnavailableError with its log's end."""
        deadline = time.monotonic() + within_s
        try:
            while not is_ready():
                if self.has_ended():
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
            while not self.has_ended() and time.monotonic() < deadline:
                time.sleep(POLL_S)
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        if self._copying is not None:
            # The rest of its output, now that the processes at the other end are gone.
            self._copying.join(timeout=STOP_WITHIN_S)
        return code

    def has_ended(self) -> bool:
        """Tell whether the process has ended; it is not collected."""
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def output(self) -> str:
        """Return all that the server printed; without a log, the end of it."""
        return (self.log.read_bytes() if self.log else self._end).decode("utf-8", errors="replace")

    def log_tail(self) -> str:
        """Return the last lines of the output."""
        return "\n".join(self.output().splitlines()[-LOG_TAIL_LINES:])

    def _not_ready(self, what: str) -> UnavailableError:
        return UnavailableError(f"{self.name} {what}; the end of {self.log or 'its output'}:\n{self.log_tail()}")

    def _pass_on(self, source: IO[bytes]) -> None:
        with source:
            while piece := os.read(source.fileno(), KEPT_BYTES):
                self._end = (self._end + piece)[-KEPT_BYTES:]
                # Where nobody reads it any more, the server must still not wait for its pipe to be emptied. Not through
                # sys.stdout, whose lock a thread that waits here would hold when this process ends.
                with contextlib.suppress(OSError):
                    while piece:
                        piece = piece[os.write(STDOUT, piece) :]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
