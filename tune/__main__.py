"""Searches settings: ``python -m tune search=phrasebook``, ``python -m tune best --study STUDY``, ``--help``."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dragoman.errors import BundleError, ConfigError, run_cli
from train.config.settings import TrackingSettings

if TYPE_CHECKING:
    from train.run.recorder import Recorder, RunFacts
    from train.run.run_dir import RunDir
    from tune.results.final import FinalTraining

# Imports stand in the functions that need them: Optuna takes a second, torch and MLflow take several, and a wrong
# setting or a database that is away has to be reported before.


def main() -> int:
    """Parse, build, call."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["best"]:
        return best(arguments[1:])
    if {"-h", "--help"} & set(arguments):
        from tune.search.help import help_text

        print(help_text())
        return 0
    return search(arguments)


def search(arguments: Sequence[str]) -> int:
    """Join a study, work on it, and train the best settings if that was asked for."""
    from tune.search.definition import load_definition
    from tune.study.database import check, parse_url
    from tune.study.recorder import StudyRecord, UnrecordedStudy

    definition = load_definition(arguments)
    settings, tracking = definition.search, definition.base.tracking
    url, tracking_uri = parse_url(settings.storage), None
    record: StudyRecord = UnrecordedStudy()
    if tracking.enabled:
        from model_registry.mlflow_store.connection import resolve_uri

        tracking_uri = resolve_uri(tracking.uri)
    check(url, tracking_uri)
    if tracking.enabled:
        from model_registry.mlflow_store.study_tracking import TrackedStudy

        record = TrackedStudy(tracking_uri=tracking.uri, experiment=tracking.experiment)
    _before_torch()
    from tune.corpora import Corpora
    from tune.results.display import SearchDisplay
    from tune.study.plan import join, running_elsewhere
    from tune.study.storage import open_storage
    from tune.worker import Worker

    corpora = Corpora(settings.folds)
    with SearchDisplay(study=settings.study, planned=settings.trials, hours=settings.hours) as display:
        display.stage(f"reading {definition.base.data.name}")
        # Wrong data is reported before anything is written.
        corpora.folds(definition.base)
        joined = join(definition, open_storage(url), record)
        display.say(f"study {settings.study}: worker {joined.worker} joined")
        if url.get_backend_name() == "sqlite" and (others := running_elsewhere(joined)):
            display.say(
                f"{len(others)} trials run already: SQLite is made for one worker at a time; if their workers live, "
                "storage=postgresql://… is the better place for the study"
            )
        if status := Worker(joined, corpora, display).run():
            return status
        display.results(joined)
    return _final_training().of_search(joined) if settings.then == "train" else 0


def best(arguments: Sequence[str]) -> int:
    """Print the best trials as commands, and train one if asked: ``best --study S [--storage URL] [key=value …]``."""
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
        help="train the trial at full length and register it; which trial; further settings of python -m train "
        "(train.device=cuda, tracking.uri=URI, …)",
    )
    options = parser.parse_args(arguments)
    for text in options.settings:
        if "=" not in text:
            raise ConfigError(f"{text!r} is not a setting: write then=train, which=7, or key=value of python -m train")
    given = dict(text.split("=", 1) for text in options.settings)
    then, which = given.pop("then", None), given.pop("which", None)
    more = [f"{key}={value}" for key, value in given.items()]
    if then not in (None, "train"):
        raise ConfigError(f"then must be train, got {then!r}")
    if which is not None and not which.isdecimal():
        raise ConfigError(f"which must be the number of a trial, got {which!r}")
    from tune.results.best import choose_trial, command_line, load_study, objectives_of, settings_of
    from tune.results.display import describe
    from tune.study.database import check, parse_url
    from tune.study.planned_trials import best_trials
    from tune.study.storage import open_storage

    url = parse_url(options.storage)
    check(url, None, create=False)
    storage = open_storage(url, reading=True)
    study = load_study(storage, options.study)
    chosen = choose_trial(study, int(which) if which is not None else None)
    for trial in best_trials(study) if which is None else [chosen]:
        print(f"trial {trial.number}: {describe(dict(zip(objectives_of(study), trial.values, strict=True)))}")
        print(f"  {command_line([*settings_of(study, trial), *more])}")
    if then is None:
        return 0
    _before_torch()
    return _final_training().of_trial(storage, study, chosen, more)


def _final_training() -> "FinalTraining":
    from tune.results.final import FinalTraining

    return FinalTraining(open_recorder=_open_mlflow_run, register=_register)


def _open_mlflow_run(facts: "RunFacts") -> "Recorder":
    from model_registry.mlflow_store.tracking import TrackedRun

    tags = {**facts.tags, "mlflow.source.name": "python -m tune"}
    return TrackedRun.open(**vars(replace(facts, tags=tags)))


def _register(run: "RunDir", tracking: TrackingSettings) -> None:
    """Make the bundle a version; where bundles must be signed, that waits for a person with a key."""
    if not tracking.enabled:
        return
    from dragoman.bundle.signature import SIGNATURE, configured_public_key
    from dragoman.bundle.store import open_bundle
    from model_registry.versions.registry import Registry

    if configured_public_key() is not None and not (run.bundle / SIGNATURE).exists():
        store = "" if tracking.uri is None else " --tracking-uri URI"
        raise BundleError(
            f"{run.bundle} is trained but not registered: DRAGOMAN_PUBLIC_KEY demands signed bundles, and nobody has "
            f"signed it yet; do so: python -m model_registry sign {run.path} --private-key FILE; and then: "
            f"python -m model_registry register {run.path}{store}"
        )
    version = Registry.open(tracking.uri, create=True).register(open_bundle(run.bundle))
    print(f"registered: {version.reference} bundle {version.bundle_version}")


def _before_torch() -> None:
    # As in training: threads of libgomp that spin for each other stop the machine when workers share its cores.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


if __name__ == "__main__":
    run_cli(main)
