"""Searches settings: ``python -m tune search=phrasebook``, ``python -m tune best --study STUDY``, ``--help``."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dragoman.errors import ConfigError, run_cli
from train.recorder import OpenRecorder, Recorder, RunFacts, Unrecorded
from train.settings import Config, TrackingSettings

if TYPE_CHECKING:
    from optuna.study import Study

    from tune.plan import Joined
    from tune.recorder import StudyRecord


def main() -> int:
    """Parse, build, call."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["best"]:
        return best(arguments[1:])
    if {"-h", "--help"} & set(arguments):
        from tune.help import help_text

        print(help_text())
        return 0
    return search(arguments)


def search(arguments: Sequence[str]) -> int:
    """Join a study, work on it, and train the best settings if that was asked for."""
    from tune.search import load_plan

    plan = load_plan(arguments)
    settings = plan.search
    from tune.database import check, parse_url

    # Before anything that takes seconds to import.
    url = parse_url(settings.storage)
    check(url, _tracking_uri(plan.base.tracking))
    _before_torch()
    from tune.corpora import Corpora
    from tune.display import SearchDisplay
    from tune.plan import join, running_elsewhere
    from tune.storage import open_storage
    from tune.worker import Worker

    corpora = Corpora(settings.folds)
    with SearchDisplay(study=settings.study, planned=settings.trials, hours=settings.hours) as display:
        display.stage(f"reading {plan.base.data.name}")
        # Wrong data is told before anything is written.
        corpora.folds(plan.base)
        storage = open_storage(url, heartbeat_seconds=settings.heartbeat_seconds, grace_seconds=settings.grace_seconds)
        joined = join(plan, storage, _study_record(plan.base.tracking))
        display.say(f"study {settings.study}: worker {joined.worker} joined")
        if url.get_backend_name() == "sqlite" and (others := running_elsewhere(joined)):
            display.say(
                f"{len(others)} trials run already: SQLite is made for one worker at a time; if their workers live, "
                "storage=postgresql://… is the better place for the study"
            )
        if status := Worker(joined, corpora, display).run():
            return status
        _show(joined, display)
    return _then_train(joined) if settings.then == "train" else 0


def best(arguments: Sequence[str]) -> int:
    """``best --study S [--storage URL] [then=train] [which=N] [key=value …]``."""
    options = _best_parser().parse_args(arguments)
    given = dict(text.partition("=")[::2] for text in options.settings)
    then, which = given.pop("then", None), given.pop("which", None)
    if then not in (None, "train"):
        raise ConfigError(f"then must be train, got {then!r}")
    if which is not None and not which.isdecimal():
        raise ConfigError(f"which must be the number of a trial, got {which!r}")
    from tune.best import choose_trial, command_line, load_study, objectives_of, settings_of
    from tune.database import check, parse_url
    from tune.display import describe
    from tune.slots import best_trials
    from tune.storage import open_storage

    url = parse_url(options.storage)
    check(url, None)
    study = load_study(open_storage(url, heartbeat_seconds=1, grace_seconds=1), url, options.study)
    chosen = choose_trial(study, int(which) if which is not None else None)
    names = objectives_of(study)
    for trial in best_trials(study) if which is None else [chosen]:
        print(f"trial {trial.number}: {describe(dict(zip(names, trial.values, strict=True)))}")
        print(f"  {command_line(settings_of(study, trial))}")
    if then is None:
        return 0
    _before_torch()
    return _train_and_register(study, chosen.number, [f"{key}={value}" for key, value in given.items()])


def _best_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tune best",
        description="Print the best trial of a study (with two objectives: the Pareto front) as a training command.",
    )
    parser.add_argument("--study", required=True, help="name of the study")
    parser.add_argument("--storage", default="sqlite:///optuna.db", help="its database (default: %(default)s)")
    parser.add_argument(
        "settings",
        nargs="*",
        metavar="then=train|which=N|key=value",
        help="train the trial at full length and register it; which trial; further settings of python -m train",
    )
    return parser


def _show(joined: "Joined", display: "object") -> None:
    from tune.database import shown
    from tune.display import SearchDisplay
    from tune.folder import study_folder
    from tune.slots import best_trials, feasible

    assert isinstance(display, SearchDisplay)
    study, settings = joined.study, joined.plan.search
    found = best_trials(study)
    if not found:
        display.say("no trial came to its end within its constraints")
        return
    if len(joined.objectives) == 1:
        complete = [trial for trial in study.get_trials(deepcopy=False) if feasible(trial)]
        sign = -1 if study.direction.name == "MAXIMIZE" else 1
        found = sorted(complete, key=lambda trial: sign * trial.values[0])
    display.table(joined.objectives, found)
    display.say(f"results: {study_folder(settings.study)}")
    if settings.then is None:
        storage = shown(joined.storage.engine.url)
        display.say(f"next: python -m tune best --study {settings.study} --storage '{storage}' then=train")


def _then_train(joined: "Joined") -> int:
    from tune.best import choose_trial, claim_final_training
    from tune.plan import running_elsewhere

    study = joined.study
    if running_elsewhere(joined) or not claim_final_training(joined):
        again = f"python -m tune best --study {study.study_name} then=train"
        print(f"another worker trains the best settings, or did; to do it (again): {again}", file=sys.stderr)
        return 0
    trial = choose_trial(study)
    if len(joined.objectives) > 1:
        print(f"training trial {trial.number}, of the front's highest chrF; for another: which=N", file=sys.stderr)
    return _train_and_register(study, trial.number, [])


def _train_and_register(study: "Study", number: int, extra: Sequence[str]) -> int:
    from train.config import compose_config
    from tune.best import choose_trial, settings_of, train_best

    trial = choose_trial(study, number)
    config: Config = compose_config([*settings_of(study, trial), *extra])
    status, bundle = train_best(study, trial, extra, _run_recorder(config.tracking))
    if bundle is not None and config.tracking.enabled:
        from model_registry.client import Registry

        version = Registry.open(config.tracking.uri, create=True).register(bundle)
        print(f"registered: {version.reference} bundle {version.bundle_version}")
    return status


def _study_record(tracking: TrackingSettings) -> "StudyRecord":
    from tune.recorder import UnrecordedStudy

    if not tracking.enabled:
        return UnrecordedStudy()
    from model_registry.study_tracking import TrackedStudy

    return TrackedStudy(tracking_uri=tracking.uri, experiment=tracking.experiment)


def _run_recorder(tracking: TrackingSettings) -> OpenRecorder:
    def open_run(facts: RunFacts) -> Recorder:
        from model_registry.tracking import TrackedRun

        return TrackedRun.open(
            tracking_uri=facts.tracking_uri,
            experiment=tracking.experiment,
            run_name=facts.name,
            params=facts.params,
            tags=facts.tags,
            run_id=facts.run_id,
        )

    return open_run if tracking.enabled else lambda facts: Unrecorded()


def _tracking_uri(tracking: TrackingSettings) -> str | None:
    if not tracking.enabled:
        return None
    from model_registry.connection import resolve_uri

    return resolve_uri(tracking.uri)


def _before_torch() -> None:
    # As in training: threads of libgomp that spin for each other stop the machine when workers share its cores.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


if __name__ == "__main__":
    run_cli(main)
