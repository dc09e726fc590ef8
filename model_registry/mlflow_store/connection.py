"""Connecting to an MLflow store, and explaining its failures.

MLflow retries a dead server for minutes before it says so; therefore a store is probed first, with short patience.
"""

import contextlib
import fcntl
import logging
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import mlflow
import requests
import sqlalchemy.exc
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from dragoman.errors import ConfigError, OutputError, UnavailableError

# The ways in which a user of any of our commands names a store.
WHERE = "with --tracking-uri (in training: tracking.uri=URI) or MLFLOW_TRACKING_URI"
DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"
# A server that is up answers its health route at once, even when it is busy.
PATIENCE_SECONDS = 5
# Where MLflow's server gives and takes files.
ARTIFACT_PATHS = ("/mlflow-artifacts/", "/get-artifact")
DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
SQLITE_MAGIC = b"SQLite format 3\x00"
# Not by sqlalchemy's URL: messages quote URIs, and people forget to encode an @ or a / inside a password.
PASSWORD = re.compile(r"(://[^/@\s:]*:)\S*(?=@)|([?&]\w*password=)[^&\s]*")
ACCEPTED = "accepted are sqlite:///PATH, postgresql://…, mysql://…, http://HOST:PORT and https://HOST"


def resolve_uri(tracking_uri: str | None) -> str:
    """Return the URI given, $MLFLOW_TRACKING_URI, or SQLite here; absolute for SQLite, with driver for PostgreSQL."""
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_TRACKING_URI
    if uri.startswith("sqlite:"):
        # A run remembers its store; a relative path would silently mean another one in another directory.
        return f"sqlite:///{sqlite_path(uri).resolve()}"
    if uri.startswith("postgresql://"):
        # Which driver SQLAlchemy takes for it has changed between its versions; psycopg2 is the one installed with us.
        uri = uri.replace("postgresql", "postgresql+psycopg2", 1)
    return uri.rstrip("/")


def connect(tracking_uri: str | None, *, create: bool = True) -> MlflowClient:
    """Return a client of the store, which is known to answer; ``create`` allows a new SQLite file.

    Raises ConfigError for a URI of another kind, OutputError for a file that cannot be written and UnavailableError,
    within seconds, for anything that does not answer.
    """
    uri = resolve_uri(tracking_uri)
    scheme = urlsplit(uri).scheme.partition("+")[0]
    if scheme == "sqlite":
        _probe_sqlite(sqlite_path(uri), create=create)
    elif scheme in ("http", "https", *DATABASE_PORTS):
        _probe_network(uri, scheme)
    else:
        raise ConfigError(
            f"the tracking URI {without_password(uri)!r} is of an unknown kind; {ACCEPTED}", field="tracking_uri"
        )
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # Standard output is for results: a training run ends with its bundle's path.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # A bar that is rewritten in place is for a person; in a log it is a hundred lines.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", str(sys.stderr.isatty()).lower())
    # With an S3 store behind it, the server sends clients to the store's own address, which may be none for them: each
    # file then waits for a minute, and no setting of the server changes that. By the server itself every file arrives.
    os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
    os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "false")
    # Inside MLflow some look-ups ignore the client's own URI and take the global one.
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    with explained(uri), _alone(uri):
        client = MlflowClient(uri, uri)
        client.search_experiments(max_results=1)
        client.search_registered_models(max_results=1)
    return client


def without_password(text: str) -> str:
    """Mask the passwords in a store's URI, or in a message that quotes one."""
    return PASSWORD.sub(lambda found: f"{found[1] or found[2]}***", text)


def sqlite_path(uri: str) -> Path:
    """Return the file behind ``sqlite:///relative`` or ``sqlite:////absolute``."""
    return Path(uri.partition(":///")[2])


def all_pages(search: Callable[[str | None], Any]) -> list[Any]:
    """Return the entries of all pages; ``search`` gives the page of a token, the first one for None."""
    found: list[Any] = []
    token = None
    while True:
        page = search(token)
        found += page
        token = page.token
        if not token:
            return found


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn errors of MLflow and its transports into an UnavailableError that names the store."""
    try:
        yield
    except (MlflowException, requests.RequestException, sqlalchemy.exc.SQLAlchemyError) as error:
        reason = without_password(str(error).strip().partition("\n")[0])
        if any(path in reason for path in ARTIFACT_PATHS):
            raise UnavailableError(
                f"the MLflow server {without_password(uri)} answers, but its artifact store does not take or give "
                f"files ({reason.rstrip('.')}); see in the server's log whether the bucket or directory is read-only, "
                f"full or gone, or its key is wrong"
            ) from error
        raise UnavailableError(
            f"the MLflow store {without_password(uri)} could not do what was asked ({reason.rstrip('.')}); "
            f"look after it, or give another one {WHERE}"
        ) from error


@contextmanager
def bounded_requests(**settings: str) -> Iterator[None]:
    """Bound the time of MLflow's requests by variables of its own; it reads them anew for each."""
    before = {key: os.environ[key] for key in settings if key in os.environ}
    os.environ.update(settings)
    try:
        yield
    finally:
        for key in settings:
            os.environ.pop(key, None)
        os.environ.update(before)


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Let one process at a time open an SQLite store: two that make its tables at once fail in MLflow's migrations."""
    with contextlib.ExitStack() as stack:
        if uri.startswith("sqlite:"):
            path = sqlite_path(uri)
            file = stack.enter_context(path.with_name(f"{path.name}-opening").open("ab"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _probe_sqlite(path: Path, *, create: bool) -> None:
    if not path.exists() and not create:
        raise UnavailableError(
            f"there is no MLflow database at {path}; train or register a model first, or say where it is {WHERE}"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Opening to append proves that it can be written, and an empty file is an empty database.
        with path.open("ab+") as file:
            file.seek(0)
            start = file.read(len(SQLITE_MAGIC))
    except OSError as error:
        raise OutputError(
            f"cannot write the MLflow database {path}: {error.strerror}; choose a writable file {WHERE}"
        ) from error
    if start not in (b"", SQLITE_MAGIC):
        raise ConfigError(f"{path} is not an SQLite database; give another file, sqlite:///PATH, {WHERE}")


def _probe_network(uri: str, scheme: str) -> None:
    """Ask a server for its health, or open a connection to a database's port, with short patience."""
    try:
        if scheme in DATABASE_PORTS:
            address = urlsplit(uri)
            target = (address.hostname or "localhost", address.port or DATABASE_PORTS[scheme])
            socket.create_connection(target, timeout=PATIENCE_SECONDS).close()
            return
        status = requests.get(f"{uri}/health", timeout=PATIENCE_SECONDS).status_code
        problem = f"HTTP {status}" if status >= 500 else None
    except requests.RequestException as error:
        problem = type(error).__name__
    except OSError as error:
        problem = str(error)
    except ValueError:
        # Its own text may quote a piece of the password.
        problem = "this is no address; a / in a password is written %2F"
    if problem is not None:
        raise UnavailableError(
            f"the MLflow store {without_password(uri)} does not answer ({problem}); start it, give another one "
            f"{WHERE}, or use a local file: {DEFAULT_TRACKING_URI}"
        ) from None
