"""One run from its configuration to its bundle: read, clean, prepare, fit, export."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from dragoman.manifest import Score
from train.checkpoint import TrainingState
from train.export import export
from train.figures import draw_curves
from train.fitting import Fitting
from train.prepare import Prepared, contents, prepare
from train.progress import Display, TrainingProgress
from train.recorder import OpenRecorder, Recorder
from train.run_dir import RunDir, new_run_dir, read_history, write_held_out, write_samples, write_translations
from train.settings import Config
from train.signals import StopRequest

log = logging.getLogger(__name__)


def start(config: Config, open_recorder: OpenRecorder) -> int:
    """Train a new run; returns the exit status."""
    run = new_run_dir(config.run_dir, f"{config.data.name}-{config.model.name}")
    with TrainingProgress() as display:
        prepared = prepare(config, run, display, resumed=False)
        return _train(prepared, display, open_recorder)


def resume(config: Config, path: Path, open_recorder: OpenRecorder) -> int:
    """Go on with the run in ``path`` from its last checkpoint; returns the exit status."""
    run = RunDir(path)
    if run.bundle.exists():
        print(f"bundle: {run.bundle}")
        return 0
    with TrainingProgress() as display:
        prepared = prepare(config, run, display, resumed=True)
        return _train(prepared, display, open_recorder)


def _train(prepared: Prepared, display: Display, open_recorder: OpenRecorder) -> int:
    fitting = Fitting(prepared, display)
    recorder = open_recorder(fitting.facts())
    try:
        status = _fit_and_export(fitting, display, recorder)
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt | SystemExit)
        try:
            recorder.finish("KILLED" if stopped else "FAILED")
        except Exception as second:
            # What ended the run is what has to be told.
            log.error("the record of the run could not be closed: %s", second)
        raise
    if status:
        recorder.finish("KILLED")
        return status
    recorder.finish("FINISHED")
    # The bundle comes last: resume takes a run with a bundle for done, its record included.
    prepared.run.unpublished.rename(prepared.run.bundle)
    prepared.run.unpublished.parent.rmdir()
    print(f"bundle: {prepared.run.bundle}")
    return 0


def _fit_and_export(fitting: Fitting, display: Display, recorder: Recorder) -> int:
    stop = StopRequest()
    outcome = fitting.fit(recorder, stop)
    state = fitting.state
    # The request may have come during the last step, when the loop asks no more.
    if stop():
        display.stage(f"stopped at step {state.step}; go on with: python -m train resume={fitting.prepared.run.path}")
        return stop.exit_code
    display.stage(f"training ended ({outcome.reason}) at step {state.step}; exporting and scoring")
    fitting.choose_weights()
    _finish(fitting.prepared, recorder, state)
    return 0


def _finish(prepared: Prepared, recorder: Recorder, state: TrainingState) -> None:
    run, config = prepared.run, prepared.config
    # What a killed process left of an earlier export.
    shutil.rmtree(run.unpublished.parent, ignore_errors=True)
    exported = export(run.unpublished, contents(prepared, recorder.run_id), splits=prepared.corpus.splits)
    draw_curves(read_history(run), run.curves, title=f"{config.name}: {config.data.name}, {config.model.name}")
    write_samples(run, exported.samples)
    write_translations(run, exported.translations)
    write_held_out(run, prepared.corpus.splits)
    for path in (run.config, run.corpus, run.curves):
        recorder.artifact(path)
    for path in sorted(run.segments.iterdir()):
        recorder.artifact(path, run.segments.name)
    recorder.metrics(final_figures(exported.bundle.manifest.scores), step=state.step, tokens=state.tokens)
    recorder.log_bundle(run.unpublished)
    # Last, since all of this is done again if it is cut off, and a table that is there already would grow.
    recorder.table("samples.json", exported.samples)


def final_figures(scores: Sequence[Score]) -> dict[str, float]:
    """The first score of each test set and metric, under its name in the record of the run."""
    figures: dict[str, float] = {}
    for score in scores:
        # The digest in a test set's label would make a new curve of every corpus.
        figures.setdefault(f"{score.test_set.partition('@')[0]}/{score.metric}".lower(), score.value)
    return figures
