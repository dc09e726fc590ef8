"""One process at a time may move a model's aliases: a lease, kept in a tag of the registered model.

MLflow's stores have no compare-and-swap, so the lease is taken by Fischer's algorithm: whoever finds the tag free
writes its own token, waits longer than any other's look-and-write can take, and holds the lease if the token is still
its own. A holder that dies is succeeded at once on its own machine, where its process is known to be gone, and by
others once they have seen its token unchanged for as long as a lease lasts. No two clocks are ever compared.
"""

import contextlib
import json
import random
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from dragoman.errors import UnavailableError
from model_registry.mlflow_store.connection import bounded_requests
from model_registry.promotion.processes import is_dead, this_process

LEASE_TAG = "promotion_lease"
# A look-and-write that took longer than the bound is not trusted, and everybody waits longer than that.
LOOK_AND_WRITE_SECONDS, SETTLE_SECONDS = 1.2, 1.5
LEASE_SECONDS = 60.0
# The holder begins no write so long before others may take over. A write takes at most two attempts of 4 s to connect
# and 4 s to be answered, and MLflow waits 20 s for a busy SQLite file, even after its client has given up.
RESERVE_SECONDS = 40.0
# Left to itself, MLflow repeats a request for minutes, and the last one may arrive when another process is the holder.
# One repetition is for the reply that was lost.
PROMPT_REQUESTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "4",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
}
POLL_SECONDS = 0.2
PATIENCE_SECONDS = 180.0


class Lease:
    """A held lease: ``check`` it before every write."""

    def __init__(self, client: MlflowClient, name: str, token: str, until: float) -> None:
        self._client, self._name, self._token, self._until = client, name, token, until

    def check(self) -> None:
        """Raise UnavailableError unless the lease is still held, with time to spare for a write."""
        if not self._is_held():
            raise UnavailableError(
                f"the store is too slow, the lease on {self._name} was lost; {look_first(self._name)}"
            )

    def release(self) -> None:
        """Let others have it at once; where the store does not answer any more, it runs out by itself."""
        with contextlib.suppress(MlflowException):
            if self._is_held():
                self._client.delete_registered_model_tag(self._name, LEASE_TAG)

    def _is_held(self) -> bool:
        # In this order, since the store may take its time to answer.
        return _read(self._client, self._name) == self._token and time.monotonic() < self._until


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
        # Not after an error: a write that was given up may still arrive, and then should find nobody else at work.
        held.release()


def look_first(name: str) -> str:
    """What to do when nobody knows whether the alias has been moved."""
    return f"whether its alias had been moved by then, this settles and shows: python -m model_registry history {name}"


def _take(client: MlflowClient, name: str, token: str) -> float:
    """Wait until the lease is ours; returns since when, on the monotonic clock."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    seen, seen_since = token, time.monotonic()
    while (started := time.monotonic()) < give_up:
        holder = _read(client, name)
        if holder != seen:
            # After the look, which may have taken long: the token may have been written at its end.
            seen, seen_since = holder, time.monotonic()
        if holder not in ("", token) and started < seen_since + LEASE_SECONDS and not is_dead(holder):
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
