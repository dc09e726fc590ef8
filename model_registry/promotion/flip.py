"""Moving the champion: only under the lease, only from where it was judged, and so that a kill at any point is mended.

What is about to be done is written down first, in a tag of the registered model. The alias champion is moved by one
write; whoever takes the lease next finds what is written down and, by where champion points, either ends it or forgets
it. At every moment champion points to one version that was verified.
"""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from dragoman.errors import UnavailableError
from model_registry.mlflow_store.connection import without_password
from model_registry.promotion.decisions import DecisionLog
from model_registry.promotion.lease import Lease, lease, look_first
from model_registry.versions.registry import CHAMPION, PREVIOUS

INTENT_TAG = "promotion_intent"

Intent = Mapping[str, int | str | None]


@dataclass(frozen=True, kw_only=True)
class Record:
    """What the history keeps of a decision; ``artifacts`` is a folder of files."""

    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    artifacts: Path | None = None


def move_champion(client: MlflowClient, name: str, *, judged: int | None, to: int, record: Record) -> bool:
    """Make version ``to`` champion if ``judged`` still is (None: if there is none), and record it.

    False, with nothing changed, when the champion is another one by now.
    """
    if champion(client, name) != judged:
        return False
    # Files are sent before the lease is taken, which is for what takes a moment.
    log = DecisionLog(client, name)
    run_id = log.open(record.tags, record.metrics, record.artifacts)
    begun = False
    try:
        with lease(client, name) as held:
            _mend(client, name, held)
            if champion(client, name) == judged:
                held.check()
                begun = True
                _carry_out(client, name, {"from": judged, "to": to, "run": run_id}, held)
    finally:
        # From the beginning on, what becomes of the decision is up to where the alias points; see _mend.
        if not begun:
            with contextlib.suppress(MlflowException):
                log.discard(run_id)
    return begun


def mend(client: MlflowClient, name: str) -> bool:
    """End or forget what a killed process left half done, and say whether there was something."""
    if INTENT_TAG not in client.get_registered_model(name).tags and not DecisionLog(client, name).left_open():
        return False
    with lease(client, name) as held:
        _mend(client, name, held)
    return True


def champion(client: MlflowClient, name: str) -> int | None:
    """The version that is champion now."""
    number = client.get_registered_model(name).aliases.get(CHAMPION)
    return int(number) if number is not None else None


def _mend(client: MlflowClient, name: str, held: Lease) -> None:
    log = DecisionLog(client, name)
    written = client.get_registered_model(name).tags.get(INTENT_TAG)
    if written is not None:
        intent = json.loads(written)
        if champion(client, name) == intent["to"]:
            _complete(client, name, intent, held)
        else:
            held.check()
            log.discard(intent["run"])
            client.delete_registered_model_tag(name, INTENT_TAG)
    for run_id in log.left_open():
        log.discard(run_id)


def _carry_out(client: MlflowClient, name: str, intent: Intent, held: Lease) -> None:
    try:
        client.set_registered_model_tag(name, INTENT_TAG, json.dumps(intent))
        held.check()
        client.set_registered_model_alias(name, CHAMPION, str(intent["to"]))
        _complete(client, name, intent, held)
    except MlflowException as error:
        reason = without_password(str(error).strip().partition("\n")[0]).rstrip(".")
        raise UnavailableError(f"moving the champion of {name} failed ({reason}); {look_first(name)}") from error


def _complete(client: MlflowClient, name: str, intent: Intent, held: Lease) -> None:
    held.check()
    if intent["from"] is not None:
        client.set_registered_model_alias(name, PREVIOUS, str(intent["from"]))
    DecisionLog(client, name).close(str(intent["run"]))
    held.check()
    client.delete_registered_model_tag(name, INTENT_TAG)
