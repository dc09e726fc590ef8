"""A lease on a registered model, which lets one process at a time move the model's aliases.

MLflow's stores have no compare-and-swap, so the lease is taken by Fischer's algorithm for mutual exclusion (in Lamport,
"A fast mutual exclusion algorithm", 1987). It needs one shared variable, here a tag of the model, and bounded delays.
"""

import contextlib
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
from model_registry.mlflow_store.connection import bounded_requests

#   read the tag ---- another's token ----> poll until it is free, its process is dead, or it has not changed for
#        | free                             LEASE_SECONDS; then go on as if it were free
#   write our token                         reading and writing must take less than LOOK_AND_WRITE_SECONDS in all
#        |
#   wait SETTLE_SECONDS                     longer than that: whoever else read "free" has written its token by now
#        |
#   read the tag ---- another's token ----> the last writer holds the lease; begin again
#        | ours
#   hold it: ``check`` before every write   until LEASE_SECONDS - RESERVE_SECONDS after the first read
#
# Each process measures durations on its own clock; no two clocks are ever compared.
LEASE_TAG = "promotion_lease"
# A busy server answers two requests within a second. What took longer is not trusted; everybody waits a little longer.
LOOK_AND_WRITE_SECONDS, SETTLE_SECONDS = 1.2, 1.5
LEASE_SECONDS = 60.0
# The holder starts no write later than this before others may take over. A write takes at most two attempts of 4 s to
# connect and 4 s to be answered, and MLflow waits 20 s for a busy SQLite file, even after its client has given up.
RESERVE_SECONDS = 40.0
# By default MLflow repeats a request for minutes, and the last repetition could arrive when another process is the
# holder. One repetition is for a lost reply.
PROMPT_REQUESTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "4",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
}
POLL_SECONDS = 0.2
# Enough for a dozen processes that hold it one after the other, or for the lease of a holder that died elsewhere.
PATIENCE_SECONDS = 180.0


class Lease:
    """A held lease: ``check`` it before every write."""

    def __init__(self, client: MlflowClient, name: str, token: str, until: float) -> None:
        self._client, self._name, self._token, self._until = client, name, token, until

    def check(self) -> None:
        """Raise UnavailableError unless the lease is still held, with time to spare for a write."""
        if not self._is_held():
            raise UnavailableError(
                f"the store is too slow, the lease on {self._name} was lost; {see_history(self._name)}"
            )

    def release(self) -> None:
        """Free the lease; where the store does not answer any more, it expires."""
        with contextlib.suppress(MlflowException):
            if self._is_held():
                self._client.delete_registered_model_tag(self._name, LEASE_TAG)

    def _is_held(self) -> bool:
        # In this order: reading the tag takes time, and the lease may expire meanwhile.
        return _holder(self._client, self._name) == self._token and time.monotonic() < self._until


@contextmanager
def lease(client: MlflowClient, name: str) -> Iterator[Lease]:
    """Wait for the lease on a model and hold it; raises UnavailableError when others hold it for minutes.

    Inside the block MLflow gives up a request within seconds.
    """
    token = json.dumps({"token": uuid.uuid4().hex, **this_process()}, sort_keys=True)
    taken = _take(client, name, token)
    held = Lease(client, name, token, taken + LEASE_SECONDS - RESERVE_SECONDS)
    with bounded_requests(**PROMPT_REQUESTS):
        yield held
        # Not after an error: a write that was given up may still arrive, and nobody else should be at work then.
        held.release()


def see_history(name: str) -> str:
    """Return the advice for a user when it is unknown whether the alias was moved."""
    return f"to settle and see whether its alias was moved, run: python -m model_registry history {name}"


def this_process() -> dict[str, Any]:
    """Return the identity by which ``is_dead`` recognises this process."""
    return {"machine": _machine(), "pid": os.getpid(), "started": psutil.Process().create_time()}


def is_dead(written: str) -> bool:
    """Tell whether JSON identifies a process of this machine that has ended; false where that cannot be known."""
    try:
        process = json.loads(written)
        if process["machine"] != _machine():
            return False
        found = psutil.Process(process["pid"])
        # A process with another start time has got the number of one that has ended.
        return abs(found.create_time() - process["started"]) > 1 or found.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except (ValueError, TypeError, KeyError, psutil.Error):
        return False


def _machine() -> str:
    """Identify the table of processes that a number belongs to: each container and each machine has its own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:  # not Linux, so not a container either
        return socket.gethostname()


def _take(client: MlflowClient, name: str, token: str) -> float:
    """Wait until the lease is ours; return the moment from which it counts, on the monotonic clock."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    seen, seen_since = token, time.monotonic()
    while (started := time.monotonic()) < give_up:
        holder = _holder(client, name)
        if holder != seen:
            # The moment after reading, which may have taken long: the token may have been written at its end.
            seen, seen_since = holder, time.monotonic()
        if holder not in ("", token) and started < seen_since + LEASE_SECONDS and not is_dead(holder):
            time.sleep(POLL_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - keeps pollers apart
            continue
        try:
            client.set_registered_model_tag(name, LEASE_TAG, token)
        except MlflowException:
            # Two first writers of a tag collide in the database; the last read below shows whether ours arrived.
            time.sleep(POLL_SECONDS)
        if time.monotonic() - started > LOOK_AND_WRITE_SECONDS:
            continue
        time.sleep(SETTLE_SECONDS)
        if _holder(client, name) == token:
            return started
    raise UnavailableError(f"others have been promoting {name} for {PATIENCE_SECONDS:g} s; try again later")


def _holder(client: MlflowClient, name: str) -> str:
    return str(client.get_registered_model(name).tags.get(LEASE_TAG, ""))
