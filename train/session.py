"""One run from its configuration to its bundle.

1. prepare   read and clean the corpus, make the model, encode               train.fitting.prepare
2. open      the record of the run, so that curves can be watched             train.run.recorder
3. fit       the loop, with checkpoints; a signal ends it politely            train.fitting.fit, train.loop
4. choose    the best checkpoint, or the average of the last                  train.fitting.fit
5. export    convert, judge, write outputs and held-out sets, then the bundle train.fitting.export
6. send      files, scores and bundle to the record                           train.run.record

What is on disk at the end of a step is all that the next one needs: a run that was killed in 3 goes on from its last
checkpoint, and one whose bundle is there only sends its record.
"""

import logging
from pathlib import Path

from dragoman.errors import UnavailableError
from train.config.settings import Config
from train.fitting.export import exporting
from train.fitting.fit import Fitting
from train.fitting.prepare import Prepared, contents, prepare
from train.run import record
from train.run.figures import draw_curves
from train.run.progress import Display, TrainingProgress
from train.run.recorder import OpenRecorder, Recorder
from train.run.run_dir import (
    RunDir,
    new_run_dir,
    read_history,
    remove_unfinished,
    write_held_out,
    write_outputs,
    write_samples,
)
from train.signals import StopRequest

log = logging.getLogger(__name__)


def start(config: Config, open_recorder: OpenRecorder) -> int:
    """Train a new run; returns the exit status."""
    run = new_run_dir(config.run_dir, f"{config.data.name}-{config.model.name}")
    with TrainingProgress() as display:
        return _train(prepare(config, run, display, resumed=False), display, open_recorder)


def resume(config: Config, path: Path, open_recorder: OpenRecorder) -> int:
    """Go on with the run in ``path`` where it was broken off; returns the exit status."""
    run = RunDir(path)
    if not run.bundle.exists():
        with TrainingProgress() as display:
            return _train(prepare(config, run, display, resumed=True), display, open_recorder)
    if not record.is_complete(run):
        record.complete(run, config, open_recorder)
    print(f"bundle: {run.bundle}")
    return 0


def _train(prepared: Prepared, display: Display, open_recorder: OpenRecorder) -> int:
    run = prepared.run
    fitting = Fitting(prepared, display)
    recorder = record.open_record(run, prepared.config, prepared.corpus.as_dict(), open_recorder)
    try:
        stop = StopRequest()
        outcome = fitting.fit(recorder, stop)
        # The request may have come during the last step, when the loop asks no more.
        if stop():
            recorder.finish("KILLED")
            display.stage(f"stopped at step {fitting.state.step}; go on with: python -m train resume={run.path}")
            return stop.exit_code
        display.stage(f"training ended ({outcome.reason}) at step {fitting.state.step}; exporting and scoring")
        fitting.choose_weights()
        _export(prepared, recorder.run_id)
        record.send(run, recorder)
    except BaseException as error:
        _close(recorder, error)
        raise
    print(f"bundle: {run.bundle}")
    return 0


def _export(prepared: Prepared, run_id: str | None) -> None:
    """Write everything that the run ends with; the bundle last, so that the rest is there where it is."""
    run, config, splits = prepared.run, prepared.config, prepared.corpus.splits
    remove_unfinished(run)
    with exporting(contents(prepared, run_id)) as export:
        judged = export.judge(splits)
        draw_curves(read_history(run), run.curves, title=f"{config.name}: {config.data.name}, {config.model.name}")
        write_samples(run, judged.samples)
        write_outputs(run, judged.outputs)
        write_held_out(run, splits)
        export.bundle(run.bundle, judged.scores)


def _close(recorder: Recorder, error: BaseException) -> None:
    if isinstance(error, UnavailableError):
        return
    try:
        recorder.finish("KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED")
    except Exception as second:
        # What ended the run is what has to be told.
        log.error("the record of the run could not be closed: %s", second)
