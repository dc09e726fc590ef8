"""The database of a search: accepted URLs, patience while it is away, and the refusal of MLflow's own."""

import re
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import sqlalchemy
from optuna.exceptions import StorageInternalError
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, PendingRollbackError

from dragoman.errors import ConfigError, UnavailableError

ACCEPTED = "accepted are sqlite:///PATH (one worker) and postgresql://USER:PASSWORD@HOST:PORT/DATABASE (many)"
PORTS = {"postgresql": 5432, "mysql": 3306}
# A server in reach accepts a connection in far less; SQLite's writers may each hold its one lock for a moment.
TIMEOUT_SECONDS, SQLITE_LOCK_SECONDS = 3, 30
# A worker that has begun outlives a restart of the database, which takes seconds, or a failover, which takes a minute.
PATIENCE_SECONDS = 120.0
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.2, 5.0
# At the start a person watches, and a wrong address is likelier than a restart.
WAITS_SECONDS = (0.5, 1.0, 2.0, 3.0, 3.0)
TABLES_OF_MLFLOW = frozenset({"experiments", "registered_models"})

Answer = TypeVar("Answer")


def parse_url(text: str) -> URL:
    """Parse a URL, making SQLite's path absolute; raises ConfigError for one of another kind."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        # SQLAlchemy can hide a password only in a URL that it can parse.
        hidden = re.sub(r"://[^/]*@", "://***@", text)
        raise ConfigError(f"storage={hidden!r} is no database URL; {ACCEPTED}") from error
    kind = url.get_backend_name() if "://" in text else ""
    if kind not in ("sqlite", "postgresql"):
        raise ConfigError(f"storage={shown(url)} is of the kind {url.drivername!r}; {ACCEPTED}")
    if kind == "sqlite":
        if not url.database or url.database == ":memory:":
            raise ConfigError(f"storage={text} names no file, so nothing of the study would be left; {ACCEPTED}")
        return url.set(database=str(Path(url.database).resolve()))
    if not url.database:
        raise ConfigError(f"storage={shown(url)} names no database; {ACCEPTED}")
    # SQLAlchemy's own choice of a driver has changed between its versions.
    return url.set(drivername="postgresql+psycopg2") if url.drivername == "postgresql" else url


def connect_arguments(url: URL) -> dict[str, int]:
    """Return the driver's timeouts for connecting."""
    return (
        {"timeout": SQLITE_LOCK_SECONDS} if url.get_backend_name() == "sqlite" else {"connect_timeout": TIMEOUT_SECONDS}
    )


def shown(url: URL) -> str:
    """Render a URL without its password."""
    return url.render_as_string(hide_password=True)


def option(url: URL) -> str:
    """Render ``--storage URL`` for a person to type, without the password: PGPASSWORD or ~/.pgpass supply it."""
    return f"--storage {shlex.quote(url._replace(password=None).render_as_string())}"


def pauses(seconds: float) -> Iterator[float]:
    """Yield doubling pauses until so many seconds have passed."""
    pause, deadline = FIRST_PAUSE_SECONDS, time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield pause
        pause = min(2 * pause, LAST_PAUSE_SECONDS)


def answered(
    ask: Callable[[], Answer],
    url: URL,
    waits: Iterable[float],
    *,
    remedy: str = "look after it, and start the command again",
    is_lost: Callable[[Exception], bool] = lambda error: True,
    waiting: Callable[[str, float], None] = lambda reason, wait: None,
) -> Answer:
    """Ask a database until it answers, pausing as ``waits`` says; raises UnavailableError once they are used up.

    An error that is not ``is_lost`` is raised at once. ``waiting`` is called with the reason before each pause.
    """
    left = iter(waits)
    while True:
        try:
            return ask()
        except (StorageInternalError, DBAPIError, PendingRollbackError) as error:
            # Optuna wraps SQLAlchemy's errors, which wrap the driver's.
            cause = error.__cause__ if isinstance(error, StorageInternalError) else error
            if cause is None or not is_lost(cause):  # type: ignore[arg-type]
                raise
            reason = str(getattr(cause, "orig", None) or cause).partition("\n")[0]
            wait = next(left, None)
            if wait is None:
                raise UnavailableError(f"the storage {shown(url)} does not answer ({reason}); {remedy}") from error
            waiting(reason, wait)
            time.sleep(wait)


def check(url: URL, tracking_uri: str | None, *, create: bool = True) -> None:
    """Raise ConfigError when MLflow uses this database, UnavailableError when it does not answer.

    ``create`` allows a new SQLite file.
    """
    if tracking_uri is not None and _identity(url) == _identity_of_text(tracking_uri):
        raise _shared(url)
    if url.get_backend_name() == "sqlite":
        path = Path(str(url.database))
        if not create and not path.is_file():
            raise ConfigError(f"there is no database {path}; give the storage of the search: --storage URL")
        if not path.parent.is_dir():
            raise ConfigError(f"storage=sqlite:///{path}: the directory {path.parent} does not exist; make it first")
        # A new database is an empty file at first.
        if path.is_file():
            with path.open("rb") as file:
                if file.read(6) not in (b"", b"SQLite"):
                    raise ConfigError(f"storage=sqlite:///{path}: the file is no SQLite database; name another one")
    try:
        engine = sqlalchemy.create_engine(url, connect_args=connect_arguments(url))
    except (ImportError, ArgumentError) as error:
        raise ConfigError(
            f"storage={shown(url)} needs a driver that is not installed ({error}): pip install 'dragoman[tune]'"
        ) from error
    try:
        tables = answered(
            lambda: set(sqlalchemy.inspect(engine).get_table_names()),
            url,
            WAITS_SECONDS,
            remedy="start the database, create it there, or give another storage=URL",
            waiting=lambda reason, wait: print(
                f"the storage {shown(url)} does not answer ({reason}); again in {wait:g} s", file=sys.stderr
            ),
        )
    finally:
        engine.dispose()
    if tables >= TABLES_OF_MLFLOW:
        raise _shared(url)


def _shared(url: URL) -> ConfigError:
    return ConfigError(
        f"storage={shown(url)} is MLflow's database: Optuna and MLflow both keep their schema's version in a table "
        "named alembic_version and would damage each other's; give the study a database of its own"
    )


def _identity_of_text(text: str) -> tuple[object, ...] | None:
    try:
        return _identity(make_url(text))
    except (ArgumentError, ValueError):
        return None


def _identity(url: URL) -> tuple[object, ...]:
    """Return the same for two URLs of one database, whatever the driver, the user and the spelling."""
    kind = url.get_backend_name() if url.drivername.partition("+")[0] in ("sqlite", *PORTS) else url.drivername
    if kind == "sqlite":
        return (kind, str(Path(url.database or "").resolve()))
    host = "127.0.0.1" if url.host in (None, "", "localhost", "::1") else str(url.host).lower()
    return (kind, host, url.port or PORTS.get(kind), url.database)
