"""The directories of a study: one for each attempt at a trial, which alone writes there, and the results.

::

    runs/tune/STUDY/study.json            the study that all of this belongs to
    runs/tune/STUDY/trial-0007/           an attempt, laid out like any run (see train.run.run_dir)
    runs/tune/STUDY/trial-0007/fold-1/    … and so for each fold
    runs/tune/STUDY/*.png, trials.csv     the results
    runs/tune/STUDY/best-trial-0007/      the full-length training with the best trial's settings
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from dragoman import atomic
from dragoman.errors import ConfigError, OutputError
from train.config.compose import load_config, training_digest
from train.config.settings import Config
from train.run.run_dir import RUNS, RunDir


def study_folder(study: str) -> Path:
    """Return the directory of a study."""
    return RUNS / "tune" / study


def claim_folder(study: str, token: str) -> None:
    """Take the study's directory, or join those that have; raises ConfigError when it holds another study's trials.

    Their checkpoints and vocabularies would be continued, since trials of every study have the same numbers.
    """
    folder = study_folder(study)
    owner = folder / "study.json"
    if owner.exists():
        try:
            found = json.loads(owner.read_text(encoding="utf-8"))["token"]
        except (ValueError, KeyError, TypeError):
            found = None
        if found == token:
            return
    elif not list(folder.glob("[!.]*")):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make {folder}: {error.strerror}; start from a writable directory") from error
        atomic.write_json(owner, {"study": study, "token": token})
        return
    raise ConfigError(
        f"{folder} holds another study named {study}, whose database was deleted or is not this one; move it away, "
        "give that study's storage=URL, or choose another name (study=NAME)"
    )


def trial_folder(study: str, number: int) -> Path:
    """Return the directory of one attempt."""
    return study_folder(study) / f"trial-{number:04d}"


def inherit(folder: Path, ancestors: Sequence[Path], config: Config) -> Path | None:
    """Copy the files of the last reachable ancestor, to continue its work; returns the ancestor, if there is one.

    A copy, since the ancestor may only have been suspended, and one directory has one writer.
    """
    for ancestor in reversed(ancestors):
        begun = list(ancestor.rglob("config.yaml"))
        if not begun or not all(_same_settings(path, config) for path in begun):
            continue
        staging = folder.with_name(f".{folder.name}")
        shutil.rmtree(staging, ignore_errors=True)
        shutil.copytree(ancestor, staging, ignore=shutil.ignore_patterns(".*"))
        staging.rename(folder)
        return ancestor
    return None


def last_step(folder: Path) -> int:
    """Return the step of the last checkpoint below a directory, 0 without any."""
    return max((int(path.name.removeprefix("step-")) for path in folder.rglob("checkpoints/step-*")), default=0)


def drop_checkpoints(folders: Sequence[Path]) -> None:
    """Remove the weights of trials that are over: only their settings and figures are needed again."""
    for folder in folders:
        for checkpoints in list(folder.rglob("checkpoints")):
            shutil.rmtree(checkpoints, ignore_errors=True)


def final_run(study: str, number: int, config: Config) -> RunDir:
    """Return the directory of the final training; one that was begun with other settings keeps its own."""
    stem = study_folder(study) / f"best-trial-{number:04d}"
    attempt = 1
    while True:
        run = RunDir(stem if attempt == 1 else stem.with_name(f"{stem.name}-{attempt}"))
        if not run.config.exists() or _same_settings(run.config, config):
            return run
        attempt += 1


def _same_settings(path: Path, config: Config) -> bool:
    return training_digest(load_config(path)) == training_digest(config)
