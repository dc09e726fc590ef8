"""The plan of a study: workers join it, plan its trials, and give those of dead workers another attempt."""

import json
import time
import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, cast

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import Study
from optuna.trial import TrialState

from dragoman.errors import ConfigError
from train.config.compose import flatten
from tune.search.definition import SearchDefinition
from tune.search.space import baseline
from tune.study.folder import claim_folder
from tune.study.heartbeat import BEAT
from tune.study.lock import exclusive
from tune.study.planned_trials import attempts_by_planned, planned_number, planned_trials, to_retry
from tune.study.recorder import StudyRecord
from tune.study.samplers import accepted, make_pruner, make_sampler
from tune.study.storage import PLANNED, PatientStorage

DEFINITION, TOKEN, WORKERS = "definition", "token", "workers"

# The plan is in the database and nowhere else, and any worker may die at any moment. An attempt goes through
#
#     WAITING ──claim──> RUNNING ──end──> COMPLETE, PRUNED, or FAIL with an error (it would fail again)
#        ^                  │
#        │                  └──handed back by its worker, or declared dead by another──> FAIL without an error
#        └──────────────────────── reconcile plans the next attempt ────────────────────────┘
#
# Each arrow is one transaction of Optuna's. What lies between two of them, reconcile finds again: it looks at the
# trials alone, never at what it did itself, so that it may be cut off anywhere and repeated by any worker. The study's
# lock keeps workers from doing the same at once; if it is lost with its connection, the storage still creates no
# attempt twice.


@dataclass(kw_only=True)
class Joined:
    """A study as one worker has it."""

    definition: SearchDefinition
    study: Study
    storage: PatientStorage
    record: StudyRecord
    worker: int
    heard: dict[int, tuple[int | None, float]] = field(default_factory=dict)
    """The last heartbeat of each running trial, with the time (``time.monotonic``) when this worker first saw it."""

    @property
    def objectives(self) -> tuple[str, ...]:
        """The names of the values of a trial."""
        return self.definition.search.objectives

    def locked(self) -> AbstractContextManager[bool]:
        """Hold the lock of the study; it is not to be taken twice."""
        return exclusive(self.storage.engine, self.study.study_name, self.storage.patience_seconds)


def join(definition: SearchDefinition, storage: PatientStorage, record: StudyRecord) -> Joined:
    """Join the study, created if there is none; raises ConfigError when it is a study of something else."""
    search = definition.search
    with exclusive(storage.engine, search.study):
        study = optuna.create_study(
            storage=cast(BaseStorage, storage),
            study_name=search.study,
            directions=["maximize" if definition.rising[name] else "minimize" for name in search.objectives],
            pruner=make_pruner(definition),
            load_if_exists=True,
        )
        _agree(study, definition)
        attributes = study.user_attrs
        worker = int(attributes.get(WORKERS, 0))
        study.set_user_attr(WORKERS, worker + 1)
        study.sampler = make_sampler(definition, worker)
        joined = Joined(definition=definition, study=study, storage=storage, record=record, worker=worker)
        # Tells this study from all others of its name: in the record, and in the directory of its trials.
        token = str(attributes.get(TOKEN) or uuid.uuid4().hex)
        study.set_user_attr(TOKEN, token)
        claim_folder(search.study, token)
        facts = {
            **{key: value for key, value in definition.shared.items() if key != "space"},
            **{f"space.{name}": value for name, value in definition.shared["space"].items()},
            "trials": search.trials,
            "hours": search.hours,
            "sampler": vars(search.sampler),
            "pruner": vars(search.pruner),
        }
        record.open_study(name=search.study, token=token, facts=facts)
        if search.trials is not None:
            plan_trials(joined, search.trials)
        reconcile(joined)
    return joined


def plan_trials(joined: Joined, count: int) -> None:
    """Queue trials until ``count`` are planned; the first is the default configuration, where the space has it."""
    known = attempts_by_planned(joined.study.get_trials(deepcopy=False))
    for planned in sorted(set(range(count)) - set(known)):
        point = baseline(joined.definition.space, flatten(joined.definition.base)) if planned == 0 else {}
        joined.study.enqueue_trial(point, user_attrs={PLANNED: planned})


def reconcile(joined: Joined) -> None:
    """Declare trials of silent workers dead, and plan another attempt where none is alive.

    For a worker that holds the lock of the study, as is ``settle``.
    """
    _fail_silent(joined)
    with accepted():
        retry = RetryHeartbeatStaleTrialCallback()
    for trial in to_retry(joined.study.get_trials(deepcopy=False), joined.definition.search.max_retries):
        retry(joined.study, trial)
    settle(joined)


def settle(joined: Joined) -> None:
    """Bring the records of trials up to date whose workers did not live to do it."""
    open_records = joined.record.running()
    # Read after the records: a trial that is not running any more has ended for good, or waits for the next attempt.
    found = planned_trials(joined.study.get_trials(deepcopy=False), joined.objectives)
    joined.record.settle({key: found[key] for key in open_records if key in found and found[key].state != "RUNNING"})


def listen(joined: Joined) -> Mapping[int, float]:
    """Note the heartbeats of the running trials; return the time since when each of them is silent.

    A worker does so with each heartbeat of its own: a trial takes minutes, and who died meanwhile is found at its end.
    """
    heard, now = joined.heard, time.monotonic()
    found = {}
    for trial in joined.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        beat = trial.user_attrs.get(BEAT)
        last, since = heard.get(trial.number, (beat, now))
        found[trial.number] = (beat, since if beat == last else now)
    joined.heard = found
    # While the database was away nobody could be heard.
    return {number: max(since, joined.storage.last_trouble) for number, (_, since) in found.items()}


def _fail_silent(joined: Joined) -> None:
    for number, silent_since in listen(joined).items():
        if time.monotonic() - silent_since > joined.definition.search.grace_seconds:
            try:
                joined.study.tell(number, state=TrialState.FAIL, skip_if_finished=True)
            except UpdateFinishedTrialError:
                continue


def running_elsewhere(joined: Joined) -> list[int]:
    """Return the planned trials that somebody works on."""
    trials = joined.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return sorted(planned_number(trial) for trial in trials)


def _agree(study: Study, definition: SearchDefinition) -> None:
    known, ours = study.user_attrs.get(DEFINITION), json.dumps(definition.shared, sort_keys=True)
    if known is None:
        if study.get_trials(deepcopy=False):
            raise ConfigError(
                f"the study {study.study_name} was not made by python -m tune; choose another name (study=NAME)"
            )
        study.set_user_attr(DEFINITION, ours)
    elif known != ours:
        differences = "; ".join(_differences(json.loads(known), json.loads(ours)))
        raise ConfigError(
            f"the study {study.study_name} searches for something else, so that its trials cannot be compared with "
            f"these: {differences}. Join it with the same settings, or choose another name (study=NAME)"
        )


def _differences(theirs: dict[str, Any], ours: dict[str, Any], where: str = "") -> list[str]:
    found: list[str] = []
    for key in sorted(set(theirs) | set(ours)):
        there, here, name = theirs.get(key), ours.get(key), f"{where}{key}"
        if isinstance(there, dict) and isinstance(here, dict):
            found += _differences(there, here, f"{name}.")
        elif there != here:
            found.append(f"{name} is {json.dumps(there)} there and {json.dumps(here)} here")
    return found
