"""A real PostgreSQL in a directory of its own, which tests may stop as roughly as they like."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

CANDIDATES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
USER, DATABASE = "tuner", "optuna"
START_SECONDS = 60


def binaries() -> Path:
    """Find the server's programs; without them the test is skipped."""
    found = shutil.which("pg_ctl")
    folders = [*CANDIDATES, *([Path(found).resolve().parent] if found else [])]
    if not folders:
        pytest.skip("PostgreSQL is not installed (initdb and pg_ctl)")
    return folders[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Postgres:
    """One server; its directory must be readable by an unprivileged user, as PostgreSQL does not run as root."""

    def __init__(self, folder: Path, database: str | None = DATABASE) -> None:
        self._bin, self._data, self.port = binaries(), folder / "data", free_port()
        self._user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.getuid() == 0 else []
        if self._user:
            shutil.chown(folder, 65534, 65534)
        self._call("initdb", "-D", str(self._data), "-U", USER, "-A", "trust", "--no-sync", "-E", "UTF8")
        settings = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self._settings = settings
        self.start()
        if database:
            self._call("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, database)

    @property
    def url(self) -> str:
        """The database for a study."""
        return f"postgresql+psycopg2://{USER}:secret@127.0.0.1:{self.port}/{DATABASE}"

    def start(self) -> None:
        log = str(self._data / "server.log")
        self._call("pg_ctl", "-D", str(self._data), "-o", self._settings, "-l", log, "-w", "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server; ``immediate`` is like a crash: every connection is cut, and nothing is written."""
        self._call("pg_ctl", "-D", str(self._data), "-m", mode, "-w", "stop")

    def restart(self, down_seconds: float = 0.0) -> None:
        """Crash, stay away for a while, and start again."""
        self.stop()
        time.sleep(down_seconds)
        self.start()

    def _call(self, program: str, *arguments: str) -> None:
        # pg_ctl's server would keep a pipe open for as long as it lives.
        with (self._data.parent.parent / f"{program}.log").open("wb") as log:
            done = subprocess.run(
                [*self._user, str(self._bin / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=START_SECONDS,
                cwd="/",
                check=False,
            )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{Path(log.name).read_text()}")
