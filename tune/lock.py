"""One worker at a time: a lock that the database keeps, and that ends with the process that holds it."""

import fcntl
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy
from sqlalchemy.exc import DBAPIError

from tune.database import PATIENCE_SECONDS

RETRY_SECONDS = 0.5


@contextmanager
def exclusive(engine: sqlalchemy.Engine, name: str) -> Iterator[None]:
    """Hold the lock ``name`` of a database; waits for whoever else holds it."""
    if engine.name == "sqlite":
        with Path(f"{engine.url.database}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    connection = _locked_connection(engine, _key(name))
    try:
        yield
    finally:
        # A connection that goes back into the pool would keep the lock.
        connection.invalidate()
        connection.close()


def _locked_connection(engine: sqlalchemy.Engine, key: int) -> sqlalchemy.Connection:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            connection = engine.connect()
            connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:key)"), {"key": key})
        except DBAPIError:
            if time.monotonic() > deadline:
                raise
            time.sleep(RETRY_SECONDS)
        else:
            return connection


def _key(name: str) -> int:
    """A number as PostgreSQL wants it, 64 bits with sign."""
    return int.from_bytes(hashlib.sha256(f"dragoman/{name}".encode()).digest()[:8], "big", signed=True)
