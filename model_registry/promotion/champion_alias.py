"""Moving the alias ``champion``: only under the lease, and so that a crash at any point can be settled afterwards.

At every moment ``champion`` points to one version that was verified. A move is four writes, of which the second alone
changes the champion::

    1  tag promotion_intent = {from, to, run}     the intent
    2  alias champion = to                        the move
    3  alias previous = from, close the run       the rest: tags of the version and the history
    4  delete the tag                             done

The next process that takes the lease and finds an intent looks where ``champion`` points. At ``to``: write 2 was made,
and 3 and 4 are repeated. Elsewhere: it was not made, the intent is dropped with its run. Any write may be repeated.
"""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from dragoman.errors import UnavailableError
from model_registry.mlflow_store.connection import without_password
from model_registry.promotion.history import DecisionLog
from model_registry.promotion.lease import Lease, lease, see_history
from model_registry.versions.registry import CHAMPION, PREVIOUS

INTENT_TAG = "promotion_intent"

Intent = Mapping[str, int | str | None]


def move_champion(
    client: MlflowClient,
    name: str,
    *,
    judged: int | None,
    to: int,
    tags: Mapping[str, str],
    metrics: Mapping[str, float] | None = None,
    artifacts: Path | None = None,
) -> bool:
    """Make version ``to`` champion if ``judged`` still is (None: if there is none), and record the decision.

    Return False, with nothing changed, when the champion is another one by now.
    """
    if _champion(client, name) != judged:
        return False
    # Files are sent before the lease is taken, which is held for moments only.
    log = DecisionLog(client, name)
    run_id = log.open(tags, metrics or {}, artifacts)
    begun = False
    try:
        with lease(client, name) as held:
            _settle(client, name, held)
            if _champion(client, name) == judged:
                held.check()
                begun = True
                _move(client, name, {"from": judged, "to": to, "run": run_id}, held)
    finally:
        # Once begun, whether the decision counts depends on where the alias points; see _settle.
        if not begun:
            with contextlib.suppress(MlflowException):
                log.discard(run_id)
    return begun


def settle(client: MlflowClient, name: str) -> bool:
    """Complete or drop what a killed process left unfinished; return whether there was anything."""
    if INTENT_TAG not in client.get_registered_model(name).tags and not DecisionLog(client, name).left_open():
        return False
    with lease(client, name) as held:
        _settle(client, name, held)
    return True


def _champion(client: MlflowClient, name: str) -> int | None:
    number = client.get_registered_model(name).aliases.get(CHAMPION)
    return int(number) if number is not None else None


def _settle(client: MlflowClient, name: str, held: Lease) -> None:
    log = DecisionLog(client, name)
    written = client.get_registered_model(name).tags.get(INTENT_TAG)
    if written is not None:
        intent = json.loads(written)
        if _champion(client, name) == intent["to"]:
            _complete(client, name, intent, held)
        else:
            held.check()
            log.discard(intent["run"])
            client.delete_registered_model_tag(name, INTENT_TAG)
    for run_id in log.left_open():
        log.discard(run_id)


def _move(client: MlflowClient, name: str, intent: Intent, held: Lease) -> None:
    try:
        client.set_registered_model_tag(name, INTENT_TAG, json.dumps(intent))
        held.check()
        client.set_registered_model_alias(name, CHAMPION, str(intent["to"]))
        _complete(client, name, intent, held)
    except MlflowException as error:
        reason = without_password(str(error).strip().partition("\n")[0]).rstrip(".")
        raise UnavailableError(f"moving the champion of {name} failed ({reason}); {see_history(name)}") from error


def _complete(client: MlflowClient, name: str, intent: Intent, held: Lease) -> None:
    held.check()
    if intent["from"] is not None:
        client.set_registered_model_alias(name, PREVIOUS, str(intent["from"]))
    DecisionLog(client, name).close(str(intent["run"]))
    held.check()
    client.delete_registered_model_tag(name, INTENT_TAG)
