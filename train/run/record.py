"""The record of a run: opened before the loop, sent with patience once the bundle is on disk."""

import dataclasses
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dragoman import atomic
from dragoman.bundle.manifest import Score
from dragoman.bundle.store import open_unsigned
from dragoman.errors import DataError, UnavailableError
from scoring.held_out import LABEL_DIGEST_LENGTH
from train.config.compose import config_digest, flatten
from train.config.settings import IMPORTED, Config
from train.run.history import read_history
from train.run.recorder import OpenRecorder, Recorder, RunFacts, Unrecorded
from train.run.run_dir import RunDir, read_corpus_report, read_figures

# A server that does not answer is asked again for this long: a restart of it takes less.
PATIENCE_SECONDS = 60.0
# Between two attempts; the wait doubles, so that a server that comes up is not hammered.
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 10.0


def open_and_send(run: RunDir, config: Config, corpus: Mapping[str, Any], open_recorder: OpenRecorder) -> None:
    """Record a run that is complete, in one go; UnavailableError says what to do then."""
    try:
        recorder = open_record(run, config, corpus, open_recorder)
    except UnavailableError as error:
        raise _unsent(run, error) from error
    send(run, recorder)


def open_record(run: RunDir, config: Config, corpus: Mapping[str, Any], open_recorder: OpenRecorder) -> Recorder:
    """Open the record of a run, or go on with the one that it has, and log its corpora there.

    ``corpus`` is the report of the corpus, as ``corpus.json`` holds it. Nothing is opened where tracking is off.
    """
    if not config.tracking.enabled:
        return Unrecorded()
    known = _place(run)
    tags = {"corpus_fingerprint": corpus["fingerprint"], "config_digest": config_digest(config)}
    if config.study is not None:
        tags["study"] = config.study.partition("/")[0]
    if getattr(config.data, "kind", None) == IMPORTED:
        tags["imported"] = "true"
    facts = RunFacts(
        experiment=config.tracking.experiment,
        run_name=run.path.name,
        # The record knows where it is, and the URI may hold a password.
        params={key: value for key, value in flatten(config).items() if not key.startswith("tracking.")},
        tags=tags,
        run_id=known.get("run_id"),
        tracking_uri=known.get("tracking_uri", config.tracking.uri),
    )
    recorder = open_recorder(facts)
    recorder.log_corpora(
        [
            {
                "name": f"{corpus['name']}/{split}",
                "digest": found["digest"][:LABEL_DIGEST_LENGTH],
                "source": json.dumps(dataclasses.asdict(config.data)),
                "context": split if split in ("train", "validation") else "test",
            }
            for split, found in corpus.get("splits", {}).items()
            if "digest" in found  # not in the reports of older runs
        ]
    )
    return recorder


def note_place(run: RunDir, recorder: Recorder, *, complete: bool) -> None:
    """Note where the record is, so that a resumed run continues it, and whether anything is left to send."""
    if recorder.run_id is not None:
        place = {"run_id": recorder.run_id, "tracking_uri": recorder.tracking_uri, "complete": complete}
        atomic.write_json(run.mlflow, place)


def is_complete(run: RunDir) -> bool:
    """Tell whether a run with a bundle has nothing left to send; one that keeps no record never has."""
    return bool(_place(run).get("complete", True))


def complete(run: RunDir, config: Config, open_recorder: OpenRecorder) -> None:
    """Send what is missing of the record of a run that has its bundle; raises DataError or UnavailableError."""
    needed = (run.corpus, run.history, run.curves, run.samples, run.held_out)
    lacking = ", ".join(path.name for path in needed if not path.exists())
    if lacking:
        raise DataError(
            f"{run.path} lacks {lacking}, which its record needs; put what is missing back, or give up the record and "
            f"register the bundle: python -m model_registry register {run.path}"
        )
    try:
        recorder = open_record(run, config, read_corpus_report(run), open_recorder)
    except UnavailableError as error:
        raise _unsent(run, error) from error
    for point in read_history(run):
        # The recorder passes over those that it has.
        figures = {name: value for name, value in point.items() if "/" in name}
        recorder.metrics(figures, step=point["step"], units=point["units"])
    send(run, recorder)


def send(run: RunDir, recorder: Recorder) -> None:
    """Send the files, scores and bundle of a run and close its record; UnavailableError says how to do it again.

    Everything may be sent twice without harm. An import has no curves.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    last = (read_history(run) or [{"step": 0, "units": 0}])[-1]
    manifest = open_unsigned(run.bundle).manifest
    figures = {**read_figures(run), **final_figures(manifest.scores), **baseline_figures(manifest.baselines)}
    samples = json.loads(run.samples.read_text(encoding="utf-8"))

    def files() -> None:
        for path in filter(Path.exists, (run.config, run.corpus, run.curves)):
            recorder.artifact(path)
        for folder in (run.held_out, run.pictures):
            for path in sorted(folder.iterdir()) if folder.exists() else ():
                recorder.artifact(path, folder.name)

    steps: list[Callable[[], object]] = [
        files,
        lambda: recorder.metrics(figures, step=last["step"], units=last["units"]),
        lambda: recorder.log_bundle(run.bundle),
        lambda: recorder.table("samples.json", samples),
    ]
    try:
        for step in steps:
            _patiently(step, deadline)
        # Once: a recorder that is closing gives up what it could not send, and a later resumption sends that again.
        recorder.finish("FINISHED")
    except UnavailableError as error:
        raise _unsent(run, error) from error
    note_place(run, recorder, complete=True)


def final_figures(scores: Sequence[Score]) -> dict[str, float]:
    """Take the first score of each test set and metric, under its name in the record of the run."""
    figures: dict[str, float] = {}
    for score in scores:
        # The digest in a test set's label would make a new curve of every corpus.
        figures.setdefault(f"{score.test_set.partition('@')[0]}/{score.metric}".lower(), score.value)
    return figures


def baseline_figures(scores: Sequence[Score]) -> dict[str, float]:
    """Take the scores of baselines under the name of the test set, the baseline and the metric."""
    figures: dict[str, float] = {}
    for score in scores:
        # MLflow's names have letters, digits and few signs.
        name = re.sub(r"[^a-z0-9]+", "-", score.engine.lower()).strip("-")
        figures[f"{score.test_set.partition('@')[0]}/{name}/{score.metric}".lower()] = score.value
    return figures


def _patiently(action: Callable[[], object], deadline: float) -> None:
    wait = FIRST_WAIT_SECONDS
    while True:
        try:
            action()
            return
        except UnavailableError:
            if time.monotonic() + wait > deadline:
                raise
        time.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT_SECONDS)


def _unsent(run: RunDir, error: UnavailableError) -> UnavailableError:
    again = f"send it later with: python -m train resume={run.path}"
    if not run.history.exists():
        # An import is not resumed, and its bundle names no run that would have to be there.
        again = f"go on with: python -m model_registry register {run.path}"
    return UnavailableError(f"the bundle {run.bundle} is complete, but its record is not ({error}); {again}")


def _place(run: RunDir) -> Mapping[str, Any]:
    found: dict[str, Any] = json.loads(run.mlflow.read_text(encoding="utf-8")) if run.mlflow.exists() else {}
    return found
