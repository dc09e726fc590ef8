"""Optuna's storage with patience: it waits for a database that restarts, and creates no attempt twice.

Optuna's own means do not hold our promises. It retries only the creation of a trial, blindly, so that a trial whose
commit went through before the connection broke is created again. Its heartbeat runs only inside ``Study.optimize``,
misses a worker that died before its first beat, and plans the retry after the failure in a second transaction: a
worker killed between the two loses the trial. Hence this wrapper, and ``heartbeat`` and ``plan`` beside it.
"""

import copy
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import optuna
import sqlalchemy
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import URL
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    ProgrammingError,
)

from dragoman.errors import ConfigError, UnavailableError
from tune.study.database import LAST_PAUSE_SECONDS, PATIENCE_SECONDS, answered, connect_arguments, pauses, shown
from tune.study.lock import exclusive

PLANNED = "slot"
"""The user attribute with the number of the planned trial; the name in the database is older than the words here."""
ATTEMPT = "dragoman_attempt"
"""The user attribute that names an attempt: ``study/planned trial/attempts before it``."""
ATTEMPTS_INDEX, ATTRIBUTES = "dragoman_attempts", "trial_user_attributes"

Result = TypeVar("Result")


class NothingWaitsError(Exception):
    """No planned trial is left to claim."""


# Every method of Optuna's storage is one transaction, and with the two exceptions below doing it twice is as good as
# doing it once. So one rule covers them all: whatever is called is called again until the database answers.
#
#   set_trial_state_values   The second end of a trial is an error: it is swallowed if the first was ours, with the
#                            same values, and only its reply was lost. The second claim says no: that trial runs
#                            without heartbeats, and its silence gives it back.
#   create_new_trial         A unique index over the names of attempts makes the second creation fail, whoever tries
#                            it. Locks would not do: they die with the connection, which is the very case. The price:
#                            Optuna can copy a study to another database only.
class PatientStorage:
    """Optuna's storage, each of whose methods waits for a lost database, for two minutes at most."""

    def __init__(self, url: URL) -> None:
        # A brace in a password must not be taken for a template's.
        text = url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
        # pool_pre_ping: a connection that a restart has cut is replaced before it is used.
        arguments = {"pool_pre_ping": True, "connect_args": connect_arguments(url)}
        plain = optuna.storages.RDBStorage(text, engine_kwargs=arguments)
        self.engine, self._plain = plain.engine, plain
        # With Optuna's cache, or each look at the study would read all of it.
        self._optuna = optuna.storages.get_storage(plain)
        self.last_trouble = float("-inf")
        """When (``time.monotonic``) the database was last found not to answer."""
        # Optuna's cache answers many calls by itself, which says nothing about the database; a statement does.
        self._given_up, self._statements = False, 0
        sqlalchemy.event.listen(self.engine, "after_cursor_execute", self._count_statement)

    def _count_statement(self, *event: object) -> None:
        self._statements += 1

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        method = getattr(self._optuna, name)
        return lambda *arguments, **named: self._retry(lambda: method(*arguments, **named))

    @property
    def patience_seconds(self) -> float:
        """The time to wait for the database: none from when it was given up until it answers."""
        return 0.0 if self._given_up else PATIENCE_SECONDS

    def remove_session(self) -> None:
        """Close the database session of this thread."""
        # Not through the cache, which does not pass it on.
        self._plain.remove_session()

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """End or claim a trial; an end whose reply was lost is recognized."""
        lost = False

        def attempt() -> bool:
            nonlocal lost
            try:
                return self._optuna.set_trial_state_values(trial_id, state, values)
            except UpdateFinishedTrialError:
                trial = self._optuna.get_trial(trial_id)
                if lost and trial.state == state and (trial.values or []) == list(values or []):
                    return True
                raise
            except Exception:
                lost = True
                raise

        return self._retry(attempt)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Create an attempt at a planned trial, or find it created; there are no unplanned trials."""
        if template_trial is None:
            raise NothingWaitsError
        template = copy.deepcopy(template_trial)
        before = len(template.system_attrs.get("retry_history", []))
        name = template.user_attrs[ATTEMPT] = f"{study_id}/{template.user_attrs[PLANNED]}/{before}"
        try:
            return self._retry(lambda: self._optuna.create_new_trial(study_id, template))
        except IntegrityError:
            trials: list[FrozenTrial] = self.get_all_trials(study_id, deepcopy=False)
            return next(trial._trial_id for trial in trials if trial.user_attrs.get(ATTEMPT) == name)

    def _retry(self, attempt: Callable[[], Result]) -> Result:
        def waiting(reason: str, pause: float) -> None:
            # Told once, not at every try.
            if time.monotonic() - self.last_trouble > 2 * LAST_PAUSE_SECONDS:
                _say_waiting(self.engine.url, reason)
            self.last_trouble = time.monotonic()
            self.remove_session()

        statements = self._statements
        try:
            result = answered(
                attempt,
                self.engine.url,
                pauses(self.patience_seconds),
                is_lost=partial(_is_lost, self.engine.url),
                waiting=waiting,
            )
        except UnavailableError:
            self._given_up = True
            raise
        if self._statements > statements:
            self._given_up = False
        return result


def open_storage(url: URL, *, reading: bool = False) -> PatientStorage:
    """Open the storage behind a URL that was checked; tables and, unless for ``reading``, the index are created.

    A database that goes away meanwhile is waited for. Raises ConfigError where the index is missing in tables that
    another role owns, UnavailableError when the database stays away.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    engine = sqlalchemy.create_engine(url, connect_args=connect_arguments(url))

    def attempt() -> PatientStorage:
        # Workers that start together would create the same tables.
        with exclusive(engine, "schema"):
            storage = PatientStorage(url)
            if not reading:
                _create_index(engine)
            return storage

    try:
        return answered(
            attempt,
            url,
            pauses(PATIENCE_SECONDS),
            # The lock dies with its connection: then two may create the same, and the second has only to look again.
            is_lost=lambda error: _is_lost(url, error) or "already exists" in str(error),
            waiting=lambda reason, pause: _say_waiting(url, reason),
        )
    finally:
        engine.dispose()


def _is_lost(url: URL, error: Exception) -> bool:
    """Tell an error of a database that is away, or busy for a moment, from one that waiting does not repair."""
    if url.get_backend_name() == "sqlite":
        return "locked" in str(error) or "busy" in str(error)
    return isinstance(error, OperationalError | InterfaceError | PendingRollbackError) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )


def _say_waiting(url: URL, reason: str) -> None:
    print(f"the storage {shown(url)} does not answer ({reason}); waiting for it", file=sys.stderr)


def _create_index(engine: sqlalchemy.Engine) -> None:
    # Looked for first: creating an index, even one that exists, is a right of the tables' owner alone.
    if any(index["name"] == ATTEMPTS_INDEX for index in sqlalchemy.inspect(engine).get_indexes(ATTRIBUTES)):
        return
    statement = f"CREATE UNIQUE INDEX {ATTEMPTS_INDEX} ON {ATTRIBUTES} (value_json) WHERE key = '{ATTEMPT}'"
    try:
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text(statement))
    except ProgrammingError as error:
        raise ConfigError(
            f"the storage {shown(engine.url)} lacks an index, and {engine.url.username} may not create it "
            f"({str(error.orig).strip()}); let the owner of its tables do so: {statement}"
        ) from error
