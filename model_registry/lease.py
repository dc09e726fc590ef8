"""One process at a time may move a model's aliases: a lease, kept in a tag of the registered model.

MLflow's stores have no compare-and-swap, so the lease is taken by Fischer's algorithm: whoever finds the tag free
writes its own token, waits longer than any other's look-and-write can take, and holds the lease if the token is still
its own. A holder that dies is succeeded at once on its own machine, where its process is known to be gone, and by
others once they have seen its token unchanged for as long as a lease lasts. No two clocks are ever compared.
"""

import json
import os
import random
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from dragoman.errors import UnavailableError

LEASE_TAG = "promotion_lease"
# A look-and-write that took longer than the bound is not trusted, and everybody waits longer than that.
LOOK_AND_WRITE_SECONDS, SETTLE_SECONDS = 1.2, 1.5
LEASE_SECONDS = 20.0
# The holder stops writing so long before others may take over.
RESERVE_SECONDS = 5.0
POLL_SECONDS = 0.2
PATIENCE_SECONDS = 180.0


class Lease:
    """A held lease: ``check`` it before every write."""

    def __init__(self, client: MlflowClient, name: str, token: str, until: float) -> None:
        self._client, self._name, self._token, self._until = client, name, token, until

    def check(self) -> None:
        """Raise UnavailableError unless the lease is still held, with time to spare for a write."""
        if time.monotonic() < self._until and _read(self._client, self._name) == self._token:
            return
        raise UnavailableError(
            f"the lease on {self._name} was lost before its alias was moved, the store is too slow; "
            "run the command again"
        )


@contextmanager
def lease(client: MlflowClient, name: str) -> Iterator[Lease]:
    """Wait for the lease on a model and hold it; raises UnavailableError when others hold it for minutes."""
    token = json.dumps({"token": uuid.uuid4().hex, **_this_process()}, sort_keys=True)
    taken = _take(client, name, token)
    try:
        yield Lease(client, name, token, taken + LEASE_SECONDS - RESERVE_SECONDS)
    finally:
        if time.monotonic() < taken + LEASE_SECONDS - RESERVE_SECONDS and _read(client, name) == token:
            client.delete_registered_model_tag(name, LEASE_TAG)


def _take(client: MlflowClient, name: str, token: str) -> float:
    """Wait until the lease is ours; returns since when, on the monotonic clock."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    seen, seen_since = token, time.monotonic()
    while (started := time.monotonic()) < give_up:
        holder = _read(client, name)
        if holder != seen:
            seen, seen_since = holder, started
        if holder not in ("", token) and started < seen_since + LEASE_SECONDS and not _is_dead(holder):
            time.sleep(POLL_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - spreads out who looks when
            continue
        try:
            client.set_registered_model_tag(name, LEASE_TAG, token)
        except MlflowException:
            # Two first writers of a tag collide in the database; whether ours went through shows below.
            time.sleep(POLL_SECONDS)
        if time.monotonic() - started > LOOK_AND_WRITE_SECONDS:
            continue
        time.sleep(SETTLE_SECONDS)
        if _read(client, name) == token:
            return started
    raise UnavailableError(f"others have been promoting {name} for {PATIENCE_SECONDS:g} s; try again later")


def _read(client: MlflowClient, name: str) -> str:
    return str(client.get_registered_model(name).tags.get(LEASE_TAG, ""))


def _this_process() -> dict[str, Any]:
    return {"machine": _machine(), "pid": os.getpid(), "started": psutil.Process().create_time()}


def _is_dead(holder: str) -> bool:
    """Whether the holder is a process of this machine that has ended; false where that cannot be known."""
    try:
        process = json.loads(holder)
        if process["machine"] != _machine():
            return False
        found = psutil.Process(process["pid"])
        # Another start time is another process under the same number.
        return abs(found.create_time() - process["started"]) > 1 or found.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except (ValueError, TypeError, KeyError, psutil.Error):
        return False


def _machine() -> str:
    """What tells apart machines and containers, each of which has process numbers of its own."""
    parts = [socket.gethostname()]
    boot = Path("/proc/sys/kernel/random/boot_id")
    if boot.exists():
        parts.append(boot.read_text(encoding="ascii").strip())
    namespace = Path("/proc/self/ns/pid")
    if namespace.exists():
        parts.append(str(namespace.stat().st_ino))
    return "/".join(parts)
