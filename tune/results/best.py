"""The choice of a study's best trial, and the command that trains its settings at full length."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial

from dragoman import atomic
from dragoman.errors import ConfigError, DataError
from tune.search.space import as_settings
from tune.study.database import shown
from tune.study.plan import DEFINITION
from tune.study.planned_trials import best_trials, feasible
from tune.study.storage import PatientStorage


def load_study(storage: PatientStorage, name: str) -> Study:
    """Load the study of that name; raises ConfigError listing those that there are."""
    try:
        study = optuna.load_study(study_name=name, storage=cast(BaseStorage, storage))
    except KeyError as error:
        names = [found.study_name for found in storage.get_all_studies()]
        raise ConfigError(
            f"there is no study {name} in {shown(storage.engine.url)}; there are: {', '.join(names) or 'none'}"
        ) from error
    if DEFINITION not in study.user_attrs:
        raise ConfigError(f"the study {name} was not made by python -m tune")
    return study


def objectives_of(study: Study) -> tuple[str, ...]:
    """Return the names of the values of its trials."""
    return tuple(json.loads(study.user_attrs[DEFINITION])["objectives"])


def choose_trial(study: Study, which: int | None = None) -> FrozenTrial:
    """Return the trial asked for, or the best; with two objectives the front's best by the first.

    Raises ConfigError for a trial that is no result, DataError while there is none.
    """
    if which is not None:
        found = [trial for trial in study.get_trials(deepcopy=False) if trial.number == which]
        if not found or not feasible(found[0]):
            state = "does not exist" if not found else f"is {found[0].state.name} or breaks a constraint"
            raise ConfigError(f"which={which}: that trial {state}; name a complete one (trials.csv lists them)")
        return found[0]
    best = best_trials(study)
    if not best:
        raise DataError(f"the study {study.study_name} has no complete trial that keeps its constraints yet")
    return best[0]


def settings_of(study: Study, trial: FrozenTrial) -> list[str]:
    """Return the settings of the full-length training, which name the trial that found them."""
    lineage = f"study={study.study_name}/trial-{trial.number}"
    return [*json.loads(study.user_attrs[DEFINITION])["final"], *as_settings(trial.params), lineage]


def command_line(settings: Sequence[str]) -> str:
    """Return the command that trains with these settings."""
    return shlex.join(["python", "-m", "train", *settings])


def write_best(study: Study, trials: Sequence[FrozenTrial], path: Path) -> Path:
    """Write the best trial, or the Pareto front, as YAML with a command for each."""
    lines = [f"study: {study.study_name}", "trials:"]
    for trial in trials:
        values = dict(zip(objectives_of(study), trial.values, strict=True))
        lines += [f"- number: {trial.number}", f"  values: {json.dumps(values)}"]
        # JSON is YAML, and quotes whatever needs it.
        lines += [f"  settings: {json.dumps(trial.params)}"]
        lines += [f"  command: {json.dumps(command_line(settings_of(study, trial)))}"]
    atomic.write_text(path, "\n".join(lines) + "\n")
    return path
