"""One run from its configuration to its bundle: the six steps of a training, in the order in which they happen.

What is on disk at the end of a step is all that the next one needs: a run that was killed while it was fitted goes on
from its last checkpoint, and one whose bundle is there only sends its record.
"""

import logging
from pathlib import Path

from dragoman.errors import UnavailableError
from train.config.compose import to_yaml, training_digest
from train.config.settings import Config
from train.device import use_device
from train.fitting.export import exporting
from train.fitting.fit import Fitting
from train.fitting.prepare import prepare
from train.run import record
from train.run.figures import draw_curves
from train.run.history import read_history
from train.run.progress import TrainingProgress
from train.run.recorder import OpenRecorder, Recorder
from train.run.run_dir import (
    RunDir,
    create,
    new_run_dir,
    remove_unfinished,
    write_figures,
    write_held_out,
    write_outputs,
    write_pictures,
    write_samples,
)
from train.run.scores import score_table
from train.signals import StopRequest
from train.tasks.base import task_class

log = logging.getLogger(__name__)


def start(config: Config, open_recorder: OpenRecorder) -> int:
    """Train a new run; returns the exit status."""
    run = new_run_dir(config.run_dir, f"{config.data.name}-{config.model.name}")
    with TrainingProgress() as display:
        return _train(config, run, open_recorder, display)


def resume(config: Config, path: Path, open_recorder: OpenRecorder) -> int:
    """Go on with the run in ``path`` where it was broken off; returns the exit status."""
    run = RunDir(path)
    if not run.bundle.exists():
        with TrainingProgress() as display:
            return _train(config, run, open_recorder, display)
    if not record.is_complete(run):
        record.complete(run, config, open_recorder)
    print(f"bundle: {run.bundle}")
    return 0


def _train(config: Config, run: RunDir, open_recorder: OpenRecorder, display: TrainingProgress) -> int:
    # 1. Prepare: read and clean the corpus, make the model, encode, find the last checkpoint.
    use_device(config.train.device, config.train.threads)
    display.stage(f"reading {config.data.name}")
    task = task_class(config.task.name)(config)
    task.tell = display.working
    corpus = task.clean(task.read())
    prepared = prepare(task, corpus, config.train, run, display)
    fitting = Fitting(prepared, run, config.train, digest=training_digest(config), display=display)

    # 2. Open: the record of the run, so that its curves can be watched.
    recorder = record.open_record(run, config, corpus.as_dict(), open_recorder)
    try:
        if not run.config.exists():
            # Only now: neither a wrong setting nor a server out of reach leaves anything behind.
            create(run, config_yaml=to_yaml(config), corpus=corpus.as_dict(), assets=task.assets())

        # 3. Fit: the loop, with checkpoints, until it ends or a signal ends it.
        stop = StopRequest()
        outcome = fitting.fit(recorder, stop)
        # The request may have come during the last step, when the loop asks no more.
        if stop():
            recorder.finish("KILLED")
            display.stage(f"stopped at step {fitting.state.step}; go on with: python -m train resume={run.path}")
            return stop.exit_code
        display.stage(f"training ended ({outcome.reason}) at step {fitting.state.step}; exporting and scoring")

        # 4. Choose: the best checkpoint, or the average of the last; then what the task fits to those weights.
        write_figures(run, fitting.finish())

        # 5. Export: convert, score, write outputs and held-out sets, and the bundle last: where it is, all else is.
        remove_unfinished(run)
        with exporting(prepared, config, recorder.run_id) as export:
            judged = export.judge(corpus.splits)
            draw_curves(read_history(run), run.curves, title=f"{config.name}: {config.data.name}, {config.model.name}")
            write_samples(run, judged.samples)
            write_outputs(run, judged.outputs)
            write_held_out(run, corpus.splits)
            write_pictures(run, task.pictures(judged.answered))
            export.write(run.bundle, scores=judged.scores, baselines=judged.baselines)
        display.stage(score_table(judged.scores, judged.baselines))

        # 6. Send: files, scores and bundle to the record.
        record.send(run, recorder)
    except BaseException as error:
        _close(recorder, error)
        raise
    print(f"bundle: {run.bundle}")
    return 0


def _close(recorder: Recorder, error: BaseException) -> None:
    # A record that could not be reached stays open: a resumption sends what it lacks.
    if isinstance(error, UnavailableError):
        return
    try:
        recorder.finish("KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED")
    except Exception as second:
        # The error that ended the run is the one to tell.
        log.error("the record of the run could not be closed: %s", second)
