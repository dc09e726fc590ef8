"""Joining a study: one definition, exactly the planned slots, a number for each worker, and none lost to the dead."""

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.study import Study
from optuna.trial import TrialState

from dragoman.errors import ConfigError
from train.config.compose import flatten
from tune.search.definition import Plan
from tune.search.space import baseline
from tune.study.experimental import accepted
from tune.study.folder import claim_folder
from tune.study.lock import exclusive
from tune.study.recorder import StudyRecord
from tune.study.samplers import directions, make_pruner, make_sampler
from tune.study.slots import by_slot, slot_of, states, to_retry
from tune.study.storage import SLOT, PatientStorage

DEFINITION, TOKEN, WORKERS = "definition", "token", "workers"


@dataclass(kw_only=True)
class Joined:
    """A study as one worker has it."""

    plan: Plan
    study: Study
    storage: PatientStorage
    record: StudyRecord
    worker: int
    silent_since: dict[int, float] = field(default_factory=dict)
    """When this worker first saw a running trial that never had a heartbeat."""

    @property
    def objectives(self) -> tuple[str, ...]:
        """The names of the values of a trial."""
        return self.plan.search.objectives

    def locked(self) -> Any:
        """The lock of the study; it is not to be taken twice."""
        return exclusive(self.storage.engine, self.plan.search.study, self.storage.patience_seconds)


def join(plan: Plan, storage: PatientStorage, record: StudyRecord) -> Joined:
    """Join the study, made if there is none; raises ConfigError when it is a study of something else."""
    name = plan.search.study
    with exclusive(storage.engine, name):
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=directions(plan),
            pruner=make_pruner(plan),
            load_if_exists=True,
        )
        _agree(study, plan)
        attributes = study.user_attrs
        worker = int(attributes.get(WORKERS, 0))
        study.set_user_attr(WORKERS, worker + 1)
        study.sampler = make_sampler(plan, worker)
        joined = Joined(plan=plan, study=study, storage=storage, record=record, worker=worker)
        token = _token(study)
        claim_folder(name, token)
        record.open_study(name=name, token=token, facts=_facts(plan))
        if plan.search.trials is not None:
            add_slots(joined, plan.search.trials)
        reconcile(joined)
    return joined


def add_slots(joined: Joined, count: int) -> None:
    """Plan trials until there are ``count`` slots; the first is the default configuration, where the space has it."""
    planned = by_slot(joined.study.get_trials(deepcopy=False))
    for slot in sorted(set(range(count)) - set(planned)):
        point = baseline(joined.plan.space, flatten(joined.plan.base)) if slot == 0 else {}
        joined.study.enqueue_trial(point, user_attrs={SLOT: slot})


def reconcile(joined: Joined) -> None:
    """Declare trials of silent workers dead, and plan another attempt at each slot that has none alive.

    For a worker that holds the lock of the study, as is ``settle``.
    """
    study, grace = joined.study, joined.plan.search.grace_seconds
    # Right after the database was away, everybody seems dead.
    if not joined.storage.troubled_within(grace):
        _fail_silent(joined, grace)
    with accepted():
        retry = RetryHeartbeatStaleTrialCallback()
    # A worker that was killed between declaring a trial dead and planning the next attempt is made up for here.
    for trial in to_retry(study.get_trials(deepcopy=False), joined.plan.search.max_retries):
        retry(study, trial)
    settle(joined)


def settle(joined: Joined) -> None:
    """Let the records of trials say what became of them, for workers that did not live to write it."""
    running = joined.record.running()
    # Read after the records: a trial that is not running any more has ended for good, or waits for the next attempt.
    found = states(joined.study.get_trials(deepcopy=False), joined.objectives)
    joined.record.settle({slot: found[slot] for slot in running if slot in found and found[slot].state != "RUNNING"})


def _fail_silent(joined: Joined, grace_seconds: float) -> None:
    study, storage = joined.study, joined.storage
    with accepted():
        optuna.storages.fail_stale_trials(study)
    now, silent = time.monotonic(), storage.without_heartbeat(study._study_id)
    joined.silent_since = {trial_id: joined.silent_since.get(trial_id, now) for trial_id in silent}
    for trial_id, since in joined.silent_since.items():
        if now - since > grace_seconds:
            try:
                storage.set_trial_state_values(trial_id, TrialState.FAIL)
            except UpdateFinishedTrialError:
                continue


def running_elsewhere(joined: Joined) -> list[int]:
    """The slots that somebody works on."""
    trials = joined.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return sorted(slot_of(trial) for trial in trials)


def _agree(study: Study, plan: Plan) -> None:
    known, ours = study.user_attrs.get(DEFINITION), json.dumps(plan.definition, sort_keys=True)
    if known is None:
        if study.get_trials(deepcopy=False):
            raise ConfigError(
                f"the study {study.study_name} was not made by python -m tune; choose another name (study=NAME)"
            )
        study.set_user_attr(DEFINITION, ours)
    elif known != ours:
        raise ConfigError(
            f"the study {study.study_name} searches for something else, so that its trials cannot be compared with "
            f"these: {'; '.join(_differences(json.loads(known), plan.definition))}. Join it with the same settings, or "
            "choose another name (study=NAME)"
        )


def _differences(theirs: dict[str, Any], ours: dict[str, Any], where: str = "") -> list[str]:
    found: list[str] = []
    ours = json.loads(json.dumps(ours))
    for key in sorted(set(theirs) | set(ours)):
        there, here, name = theirs.get(key), ours.get(key), f"{where}{key}"
        if isinstance(there, dict) and isinstance(here, dict):
            found += _differences(there, here, f"{name}.")
        elif there != here:
            found.append(f"{name} is {json.dumps(there)} there and {json.dumps(here)} here")
    return found


def _token(study: Study) -> str:
    """What tells this study from all others of its name, in the record too."""
    token = study.user_attrs.get(TOKEN)
    if token is None:
        token = uuid.uuid4().hex
        study.set_user_attr(TOKEN, token)
    return str(token)


def _facts(plan: Plan) -> dict[str, object]:
    search = plan.search
    return {
        **{key: value for key, value in plan.definition.items() if key != "space"},
        **{f"space.{name}": value for name, value in plan.definition["space"].items()},
        "trials": search.trials,
        "hours": search.hours,
        "sampler": vars(search.sampler),
        "pruner": vars(search.pruner),
    }
