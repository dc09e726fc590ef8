"""Locks between the workers of a study, kept by the database and released when their holder dies."""

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy

from tune.study.database import PATIENCE_SECONDS, answered, pauses


@contextmanager
def exclusive(engine: sqlalchemy.Engine, name: str, patience_seconds: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Hold the lock ``name`` of a database, waiting for its holder.

    Raises UnavailableError when the database stays away for longer than the patience.
    """
    if engine.name == "sqlite":
        with Path(f"{engine.url.database}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    with _advisory_lock(engine, "SELECT pg_advisory_lock(:key)", name, patience_seconds):
        yield


@contextmanager
def attempt(engine: sqlalchemy.Engine, name: str) -> Iterator[bool]:
    """Hold the lock ``name``, for hours if need be; gives False at once where somebody else holds it."""
    if engine.name == "sqlite":
        # A file of its own: the study's lock must stay free meanwhile.
        with Path(f"{engine.url.database}.{name}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        return
    with _advisory_lock(engine, "SELECT pg_try_advisory_lock(:key)", name, PATIENCE_SECONDS) as held:
        yield held


@contextmanager
def _advisory_lock(engine: sqlalchemy.Engine, question: str, name: str, patience_seconds: float) -> Iterator[bool]:
    # PostgreSQL wants a signed number of 64 bits.
    key = int.from_bytes(hashlib.sha256(f"dragoman/{name}".encode()).digest()[:8], "big", signed=True)

    def ask() -> tuple[sqlalchemy.Connection, bool]:
        # No transaction, which the server might end for being idle, and the lock with it.
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        return connection, bool(connection.execute(sqlalchemy.text(question), {"key": key}).scalar())

    connection, held = answered(ask, engine.url, pauses(patience_seconds))
    try:
        yield held
    finally:
        # A connection that goes back into the pool would keep the lock.
        connection.invalidate()
        connection.close()
