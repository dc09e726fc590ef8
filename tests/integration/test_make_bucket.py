"""The stack's first job, against a store that speaks as much S3 as it takes."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import ROOT

JOB = ROOT / "deploy" / "compose" / "make_bucket.py"
REFUSED = b"<Error><Code>AccessDenied</Code><Message>this key may not make buckets</Message></Error>"


class Store:
    """Buckets, and whether new ones may be made."""

    def __init__(self) -> None:
        self.buckets: set[str] = set()
        self.is_read_only = False
        store = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self, status: int, body: bytes = b"") -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_HEAD(self) -> None:
                assert "AWS4-HMAC-SHA256 Credential=mlflow/" in self.headers["Authorization"]
                self.answer(200 if self.path in store.buckets else 404)

            def do_PUT(self) -> None:
                if store.is_read_only:
                    self.answer(403, REFUSED)
                else:
                    store.buckets.add(self.path)
                    self.answer(200)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()
    thread = threading.Thread(target=store.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield store
    store.server.shutdown()
    store.server.server_close()
    thread.join()


def make_bucket(folder: Path, url: str) -> subprocess.CompletedProcess[str]:
    secrets = folder / "secrets"
    subprocess.run([JOB.with_name("make_secrets.sh"), secrets], check=True, capture_output=True)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = {
        "AWS_SHARED_CREDENTIALS_FILE": str(secrets / "artifact_client"),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
        "MLFLOW_S3_ENDPOINT_URL": url,
        "BUCKET": "mlflow",
    }
    command = [sys.executable, str(JOB)]
    return subprocess.run(command, env={**inherited, **environment}, capture_output=True, text=True, check=False)


def test_the_bucket_is_made_once(store: Store, tmp_path: Path):
    done = make_bucket(tmp_path, store.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "bucket mlflow made\n", "")
    assert store.buckets == {"/mlflow"}
    assert make_bucket(tmp_path, store.url).stdout == "bucket mlflow is there\n"


def test_a_store_that_refuses_or_is_not_there_is_told_in_one_line(store: Store, tmp_path: Path):
    store.is_read_only = True
    done = make_bucket(tmp_path, store.url)
    assert (done.returncode, done.stdout) == (69, "")
    assert f"error: cannot make the bucket mlflow at {store.url}: " in done.stderr
    assert "this key may not make buckets" in done.stderr

    done = make_bucket(tmp_path, "http://127.0.0.1:9")
    assert done.returncode == 69
    assert len(done.stderr.splitlines()) == 1
