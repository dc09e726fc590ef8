"""A real MLflow server in a process of its own, and stores whose tables are there already."""

import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import requests


@dataclass(frozen=True)
class Server:
    uri: str
    artifacts: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def new_store(path: Path) -> str:
    """Write an SQLite store without any experiment and return its URI.

    It is a copy of one that MLflow made, since its migrations take seconds.
    """
    path.write_bytes(_empty_store())
    return f"sqlite:///{path}"


@cache
def _empty_store() -> bytes:
    from mlflow.tracking import MlflowClient

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mlflow.db"
        MlflowClient(f"sqlite:///{path}", f"sqlite:///{path}").search_experiments()
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            # The default experiment says where its maker keeps files; who opens a copy makes another.
            database.execute("DELETE FROM experiments")
        return path.read_bytes()


@contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[Server]:
    server = Server(uri=f"http://127.0.0.1:{port}", artifacts=folder / "artifacts")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/server.db",
        "--artifacts-destination",
        str(server.artifacts),
    ]
    if not (folder / "server.db").exists():
        new_store(folder / "server.db")
    with (folder / "server.log").open("ab") as log:
        # Without its job runner, which nothing here needs, the server starts in half the time.
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True)
    try:
        wait_until_ready(server.uri, process, folder / "server.log")
        yield server
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def wait_until_ready(uri: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(f"{uri}/health", timeout=2).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    pytest.fail(f"the MLflow server did not start: {log.read_text()[-2000:]}")
