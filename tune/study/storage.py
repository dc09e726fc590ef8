"""Optuna's storage, made patient: it outlives a restart of the database, and creates no trial twice."""

import copy
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, PendingRollbackError

from dragoman.errors import UnavailableError
from tune.study.database import PATIENCE_SECONDS, connect_arguments, shown
from tune.study.experimental import accepted
from tune.study.lock import exclusive

FIRST_WAIT_SECONDS, LAST_WAIT_SECONDS = 0.2, 5.0
# The attribute by which the creation of a trial can be repeated: its slot, and how many died in it before.
TICKET = "ticket"
SLOT = "slot"

Result = TypeVar("Result")


class NothingWaitsError(Exception):
    """No planned trial is left to claim."""


class PatientStorage(RDBStorage):
    """Repeats what a lost connection cut off, for two minutes at most."""

    def __init__(self, url: URL, *, heartbeat_seconds: int, grace_seconds: int) -> None:
        self._name = shown(url)
        self.last_trouble: float | None = None
        """When (``time.monotonic``) the database was last found not to answer."""
        self._given_up = False
        with accepted():
            super().__init__(
                # A brace in a password must not be taken for a template's.
                url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}"),
                engine_kwargs={"pool_pre_ping": True, "connect_args": connect_arguments(url)},
                heartbeat_interval=heartbeat_seconds,
                grace_period=grace_seconds,
            )

    @property
    def patience_seconds(self) -> float:
        """How long to wait for the database; once it has stayed away for so long, no longer until it answers."""
        return 0.0 if self._given_up else PATIENCE_SECONDS

    def troubled_within(self, seconds: float) -> bool:
        """Whether the database was out of reach lately, so that no silence of a worker means anything."""
        return self.last_trouble is not None and time.monotonic() - self.last_trouble < seconds

    def without_heartbeat(self, study_id: int) -> list[int]:
        """The trials that run without ever having given a sign of life: their worker died at once, or is about to."""
        return self._patiently(lambda: self._query_without_heartbeat(study_id))

    def _query_without_heartbeat(self, study_id: int) -> list[int]:
        with _create_scoped_session(self.scoped_session) as session:
            beats = session.query(models.TrialHeartbeatModel.trial_id)
            query = session.query(models.TrialModel.trial_id).filter(
                models.TrialModel.study_id == study_id,
                models.TrialModel.state == TrialState.RUNNING,
                models.TrialModel.trial_id.not_in(beats),
            )
            return [trial_id for (trial_id,) in query.all()]

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """End or claim a trial; an end whose confirmation was lost is recognized.

        A claim whose confirmation was lost says no: that trial runs without heartbeats, and reconciliation finds it.
        """
        lost = False

        def attempt() -> bool:
            nonlocal lost
            try:
                return super(PatientStorage, self).set_trial_state_values(trial_id, state, values)
            except UpdateFinishedTrialError:
                if lost and self._ended_so(trial_id, state, values):
                    return True
                raise
            except Exception:
                lost = True
                raise

        return self._patiently(attempt)

    def _ended_so(self, trial_id: int, state: TrialState, values: Sequence[float] | None) -> bool:
        trial = super().get_trial(trial_id)
        return trial.state == state and (trial.values or []) == list(values or [])

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        """Create a planned trial, once per ticket however often it is asked for; there are no others."""
        if template_trial is None:
            raise NothingWaitsError
        template = copy.deepcopy(template_trial)
        history = template.system_attrs.get("retry_history", [])
        template.user_attrs[TICKET] = f"{template.user_attrs[SLOT]}/{len(history)}"
        return self._patiently(lambda: self._insert_once(study_id, template))

    def _insert_once(self, study_id: int, template: FrozenTrial) -> FrozenTrial:
        with _create_scoped_session(self.scoped_session) as session:
            # Serialises the creations of a study, as Optuna does for its numbers.
            models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
            attribute = models.TrialUserAttributeModel
            existing = (
                session.query(models.TrialModel)
                .join(attribute, attribute.trial_id == models.TrialModel.trial_id)
                .filter(models.TrialModel.study_id == study_id)
                .filter(attribute.key == TICKET, attribute.value_json == json.dumps(template.user_attrs[TICKET]))
                .first()
            )
            trial = existing or self._get_prepared_new_trial(study_id, template, session)
            session.flush()
            return self._build_frozen_trial_from_trial_model(trial)

    def _patiently(self, attempt: Callable[[], Result]) -> Result:
        wait, deadline = FIRST_WAIT_SECONDS, time.monotonic() + self.patience_seconds
        while True:
            try:
                result = attempt()
                self._given_up = False
                return result
            except (StorageInternalError, DBAPIError, PendingRollbackError) as error:
                if not _connection_lost(error, self.engine.name):
                    raise
                if time.monotonic() > deadline:
                    self._given_up = True
                    raise UnavailableError(
                        f"the storage {self._name} stayed out of reach ({_reason(error)}); look after it, and start "
                        "the command again"
                    ) from error
                if not self.troubled_within(LAST_WAIT_SECONDS * 2):
                    print(
                        f"the storage {self._name} is out of reach ({_reason(error)}); waiting for it", file=sys.stderr
                    )
                self.last_trouble = time.monotonic()
                self.scoped_session.remove()
                time.sleep(wait)
                wait = min(2 * wait, LAST_WAIT_SECONDS)


def _reason(error: Exception) -> str:
    return str(error.__cause__ or error).splitlines()[0]


def _connection_lost(error: Exception, engine: str) -> bool:
    cause = error if isinstance(error, DBAPIError | PendingRollbackError) else error.__cause__
    if engine == "sqlite":
        return "locked" in str(cause) or "busy" in str(cause)
    return isinstance(cause, OperationalError | InterfaceError | PendingRollbackError) or (
        isinstance(cause, DBAPIError) and cause.connection_invalidated
    )


def _patient(name: str) -> Callable[..., Any]:
    plain = getattr(RDBStorage, name)

    def method(self: PatientStorage, *arguments: Any, **named: Any) -> Any:
        return self._patiently(lambda: plain(self, *arguments, **named))

    method.__name__, method.__doc__ = name, plain.__doc__
    return method


# Each of these is one transaction, and doing it twice is as doing it once.
for _name in (
    "create_new_study",
    "get_all_studies",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_user_attrs",
    "get_study_system_attrs",
    "get_trial",
    "get_trial_param",
    "get_trial_user_attrs",
    "get_trial_system_attrs",
    "get_trial_id_from_study_id_trial_number",
    "record_heartbeat",
    "set_study_user_attr",
    "set_study_system_attr",
    "set_trial_intermediate_value",
    "set_trial_system_attr",
    "set_trial_user_attr",
    "_get_best_trial_id",
    "_get_stale_trial_ids",
    "_get_trials",
    "_set_trial_param",
):
    setattr(PatientStorage, _name, _patient(_name))


def open_storage(url: URL, *, heartbeat_seconds: int, grace_seconds: int) -> PatientStorage:
    """The storage behind a URL that was checked; Optuna makes its tables where there are none."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    engine = sqlalchemy.create_engine(url, connect_args=connect_arguments(url))
    try:
        # Workers that start together would make the same tables.
        with exclusive(engine, "schema"):
            return PatientStorage(url, heartbeat_seconds=heartbeat_seconds, grace_seconds=grace_seconds)
    finally:
        engine.dispose()
