"""Locks between the workers of a study, kept by the database and released when their holder dies."""

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy

from tune.study.database import PATIENCE_SECONDS, answered, pauses


@contextmanager
def exclusive(
    engine: sqlalchemy.Engine, name: str, patience_seconds: float = PATIENCE_SECONDS, *, wait: bool = True
) -> Iterator[bool]:
    """Hold the lock ``name`` of a database, waiting for its holder; without ``wait`` gives False where there is one.

    Raises UnavailableError when the database stays away for longer than the patience.
    """
    if engine.name == "sqlite":
        # Who does not wait holds a lock for hours, and so in a file of its own: the study's has to stay free.
        with Path(f"{engine.url.database}.lock" if wait else f"{engine.url.database}.{name}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
            else:
                yield True
        return
    question = sqlalchemy.text(f"SELECT {'pg_advisory_lock' if wait else 'pg_try_advisory_lock'}(:key)")
    # PostgreSQL wants a signed number of 64 bits.
    key = int.from_bytes(hashlib.sha256(f"dragoman/{name}".encode()).digest()[:8], "big", signed=True)

    def ask() -> tuple[sqlalchemy.Connection, bool]:
        # No transaction, which the server might end for being idle, and the lock with it.
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        return connection, bool(connection.execute(question, {"key": key}).scalar())

    connection, held = answered(ask, engine.url, pauses(patience_seconds))
    try:
        yield wait or held
    finally:
        # A connection that goes back into the pool would keep the lock.
        connection.invalidate()
        connection.close()
