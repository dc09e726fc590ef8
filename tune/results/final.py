"""The full-length training of a trial's settings, by one process at a time, which continues what another began."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from optuna.study import Study
from optuna.trial import FrozenTrial

from train.config.compose import compose_config
from train.run.recorder import OpenRecorder
from train.run.run_dir import RunDir
from tune.results.best import settings_of
from tune.study.folder import claim_folder, final_run
from tune.study.lock import attempt
from tune.study.plan import TOKEN, Joined
from tune.study.storage import PatientStorage

FINISHED = "final_training"


@contextmanager
def alone(storage: PatientStorage, study: Study, number: int) -> Iterator[bool]:
    """Reserve the final training of a trial while the block lasts; gives False where somebody else has it."""
    with attempt(storage.engine, f"{study.study_name}-final-{number}") as held:
        yield held


def train_whole(
    study: Study, trial: FrozenTrial, more: Sequence[str], open_recorder: OpenRecorder
) -> tuple[int, RunDir]:
    """Train a trial's settings and ``more`` at full length, or continue; returns the exit status and the run."""
    # Torch takes seconds to import: not before there is something to train.
    from train.session import resume, start

    settings = [*settings_of(study, trial), *more]
    claim_folder(study.study_name, study.user_attrs[TOKEN])
    run = final_run(study.study_name, trial.number, compose_config(settings))
    # Not the settings in the directory: where to compute and what to record to may be another worker's there.
    config = compose_config([*settings, f"run_dir={run.path}"])
    status = resume(config, run.path, open_recorder) if run.config.exists() else start(config, open_recorder)
    return status, run


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
