"""The full-length training of a trial's settings, by one process at a time, which continues what another began."""

import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from optuna.study import Study
from optuna.trial import FrozenTrial

from dragoman.errors import UnavailableError
from train.config.compose import compose_config
from train.config.settings import TrackingSettings
from train.run.recorder import OpenRecorder
from train.run.run_dir import RunDir
from tune.results.best import choose_trial, settings_of
from tune.study.database import option
from tune.study.folder import claim_folder, final_run
from tune.study.lock import exclusive
from tune.study.plan import TOKEN, Joined, running_elsewhere
from tune.study.storage import PatientStorage

FINISHED = "final_training"


@dataclass(frozen=True, kw_only=True)
class FinalTraining:
    """The two services of MLflow that a final training needs: a record, and a registry for its bundle."""

    open_recorder: OpenRecorder
    register: Callable[[RunDir, TrackingSettings], None]

    def of_search(self, joined: Joined) -> int:
        """Train the best trial once no worker has trials left, unless that is done or being done elsewhere."""
        study = joined.study
        if running_elsewhere(joined):
            _say("other workers still have trials: the last one to finish trains the best settings")
            return 0
        trial = choose_trial(study)
        again = f"python -m tune best --study {study.study_name} {option(joined.storage.engine.url)} then=train"
        with alone(joined.storage, study, trial.number) as nobody_else:
            if not nobody_else:
                _say(f"another worker trains trial {trial.number}; should it fail: {again}")
                return 0
            if place := finished_elsewhere(joined, trial):
                _say(f"trial {trial.number} was trained already: {place}; to do it again: {again}")
                return 0
            if len(joined.objectives) > 1:
                first = joined.objectives[0]
                _say(f"training trial {trial.number}, the front's best by {first}; for another: which=N")
            # Noted before the registration, which may wait for a signature: no other machine is to train meanwhile.
            return self._train(study, trial, joined.definition.own, lambda run: note_finished(joined, trial, run))

    def of_trial(self, storage: PatientStorage, study: Study, trial: FrozenTrial, more: Sequence[str]) -> int:
        """Train this trial; raises UnavailableError while another process does."""
        with alone(storage, study, trial.number) as nobody_else:
            if not nobody_else:
                raise UnavailableError(
                    f"another process trains trial {trial.number} right now; try again when it is done"
                )
            return self._train(study, trial, more, lambda run: None)

    def _train(self, study: Study, trial: FrozenTrial, more: Sequence[str], trained: Callable[[RunDir], None]) -> int:
        # Torch takes seconds to import: not before there is something to train.
        from train.session import resume, start

        settings = [*settings_of(study, trial), *more]
        claim_folder(study.study_name, study.user_attrs[TOKEN])
        run = final_run(study.study_name, trial.number, compose_config(settings))
        # Not the settings in the directory: where to compute and what to record to may be another worker's there.
        config = compose_config([*settings, f"run_dir={run.path}"])
        if run.config.exists():
            status = resume(config, run.path, self.open_recorder)
        else:
            status = start(config, self.open_recorder)
        if status == 0:
            trained(run)
            self.register(run, config.tracking)
        return status


@contextmanager
def alone(storage: PatientStorage, study: Study, number: int) -> Iterator[bool]:
    """Reserve the final training of a trial while the block lasts; gives False where somebody else has it."""
    with exclusive(storage.engine, f"{study.study_name}-final-{number}", wait=False) as held:
        yield held


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def finished_elsewhere(joined: Joined, trial: FrozenTrial) -> str | None:
    """Return the place of the trial's bundle if another machine, or another directory, has trained it."""
    known = joined.study.user_attrs.get(FINISHED, {})
    if known.get("trial") != trial.number or Path(known["bundle"]).exists():
        return None
    return f"{known['host']}:{known['bundle']}"


def note_finished(joined: Joined, trial: FrozenTrial, run: RunDir) -> None:
    """Tell other workers that this trial needs no final training any more."""
    found = {"trial": trial.number, "host": socket.gethostname(), "bundle": str(run.bundle.resolve())}
    joined.study.set_user_attr(FINISHED, found)
