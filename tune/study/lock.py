"""One worker at a time: a lock that the database keeps, and that ends with the process that holds it."""

import fcntl
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy
from sqlalchemy.exc import DBAPIError

from dragoman.errors import UnavailableError
from tune.study.database import PATIENCE_SECONDS, shown

RETRY_SECONDS = 0.5


@contextmanager
def exclusive(engine: sqlalchemy.Engine, name: str, patience_seconds: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Hold the lock ``name`` of a database; waits for whoever else holds it.

    Raises UnavailableError when the database stays away for longer than the patience.
    """
    if engine.name == "sqlite":
        with Path(f"{engine.url.database}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    connection, _ = _asked(engine, "SELECT pg_advisory_lock(:key)", name, patience_seconds)
    with _released(connection):
        yield


@contextmanager
def attempt(engine: sqlalchemy.Engine, name: str) -> Iterator[bool]:
    """Hold the lock ``name``, for hours if need be; gives False at once where somebody else holds it."""
    if engine.name == "sqlite":
        # Not the file of the others, which are not to wait for this one.
        with Path(f"{engine.url.database}.{name}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        return
    connection, held = _asked(engine, "SELECT pg_try_advisory_lock(:key)", name, PATIENCE_SECONDS)
    with _released(connection):
        yield held


@contextmanager
def _released(connection: sqlalchemy.Connection) -> Iterator[None]:
    try:
        yield
    finally:
        # A connection that goes back into the pool would keep the lock.
        connection.invalidate()
        connection.close()


def _asked(
    engine: sqlalchemy.Engine, question: str, name: str, patience_seconds: float
) -> tuple[sqlalchemy.Connection, bool]:
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            # No transaction, which the server might end for doing nothing, and the lock with it.
            connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            answer = connection.execute(sqlalchemy.text(question), {"key": _key(name)}).scalar()
        except DBAPIError as error:
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"the storage {shown(engine.url)} does not answer ({str(error.orig).splitlines()[0]}); look after "
                    "it, and start the command again"
                ) from error
            time.sleep(RETRY_SECONDS)
        else:
            return connection, bool(answer)


def _key(name: str) -> int:
    """A number as PostgreSQL wants it, 64 bits with sign."""
    return int.from_bytes(hashlib.sha256(f"dragoman/{name}".encode()).digest()[:8], "big", signed=True)
