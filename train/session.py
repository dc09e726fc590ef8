"""One run from its configuration to its bundle: read, clean, prepare, fit, export."""

import dataclasses
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dragoman import atomic
from dragoman.errors import DataError
from dragoman.manifest import Languages, Provenance, Score
from train.checkpoint import Checkpoints, TrainingState, set_weights
from train.cleaning import CleanCorpus, clean
from train.config import flatten, to_yaml
from train.device import require_device
from train.export import export
from train.figures import draw_curves
from train.loop import Outcome, Report, fit
from train.model import PreparedModel, parameter_groups, prepare_model
from train.progress import TrainingProgress
from train.provenance import config_digest, git_commit
from train.recorder import OpenRecorder, Recorder, RunFacts
from train.run_dir import (
    RunDir,
    append_history,
    check_corpus,
    create,
    new_run_dir,
    read_history,
    rewind_history,
    write_samples,
    write_translations,
)
from train.settings import Config, ScratchModel
from train.signals import StopRequest
from train.tasks import task_class

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Everything the loop needs."""

    config: Config
    run: RunDir
    corpus: CleanCorpus
    base: PreparedModel
    task: Any


def start(config: Config, open_recorder: OpenRecorder) -> int:
    """Train a new run; returns the exit status."""
    run = new_run_dir(config.run_dir, f"{config.data.name}-{config.model.name}")
    with TrainingProgress() as progress:
        prepared = _prepare(config, run, progress, resumed=False)
        return _train(prepared, progress, open_recorder)


def resume(config: Config, path: Path, open_recorder: OpenRecorder) -> int:
    """Go on with the run in ``path`` from its last checkpoint; returns the exit status."""
    run = RunDir(path)
    if run.bundle.exists():
        print(f"bundle: {run.bundle}")
        return 0
    with TrainingProgress() as progress:
        prepared = _prepare(config, run, progress, resumed=True)
        return _train(prepared, progress, open_recorder)


def _prepare(config: Config, run: RunDir, progress: TrainingProgress, *, resumed: bool) -> Prepared:
    if config.train.threads != "auto":
        torch.set_num_threads(config.train.threads)
    languages = Languages(source=config.task.source, target=config.task.target)
    require_device(config.train.device)
    progress.stage(f"reading {config.data.name}")
    corpus = clean(config.data.read(languages), config.cleaning, languages)
    if resumed:
        check_corpus(run, corpus.fingerprint)
    base = _base_model(config, run, corpus, resumed=resumed)
    task = task_class(config.task.name)(
        corpus.splits.train,
        corpus.splits.validation,
        base.tokenizer,
        prefix=config.model.prefix,
        max_tokens=config.cleaning.max_tokens,
        label_smoothing=config.train.label_smoothing,
        validation_samples=config.train.validation_samples,
        batch_tokens=config.train.batch_tokens,
        seed=config.train.seed,
    )
    corpus.reports["train"].dropped["too_many_tokens"] += task.too_many_tokens
    weights = sum(parameter.numel() for parameter in base.model.parameters())
    progress.stage(
        f"{task.train_size:,} training pairs, {base.tokenizer.size:,} pieces, {weights / 1e6:.2f} million weights; "
        f"run: {run.path}"
    )
    return Prepared(config=config, run=run, corpus=corpus, base=base, task=task)


def _base_model(config: Config, run: RunDir, corpus: CleanCorpus, *, resumed: bool) -> PreparedModel:
    settings = config.model
    if resumed and isinstance(settings, ScratchModel):
        settings = dataclasses.replace(settings, tokenizer_path=str(run.vocabulary))
    texts = [text for pair in corpus.splits.train for text in pair]
    return prepare_model(settings, texts, seed=config.train.seed)


def _train(prepared: Prepared, progress: TrainingProgress, open_recorder: OpenRecorder) -> int:
    checkpoints = Checkpoints(prepared.run.checkpoints, keep=prepared.config.train.average_checkpoints)
    state = _state(prepared, checkpoints, progress)
    recorder = open_recorder(_facts(prepared))
    try:
        status = _fit_and_export(prepared, progress, recorder, checkpoints, state)
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


def _state(prepared: Prepared, checkpoints: Checkpoints, progress: TrainingProgress) -> TrainingState:
    """Where the run stands; raises DataError when its configuration is not the one that it was started with."""
    digest = config_digest(prepared.config)
    state = checkpoints.last()
    if state is None:
        return TrainingState(config_digest=digest)
    if state.config_digest != digest:
        raise DataError(
            f"{prepared.run.config} has changed since the run was started; restore it, or start a new run with the "
            "other settings"
        )
    if state.best_step is not None and not checkpoints.path(state.best_step).exists():
        progress.stage(
            f"the best checkpoint, of step {state.best_step}, was damaged and is gone; the next validation sets a new "
            "best"
        )
        # Also where training had ended already: without a validation after this there would be no best.
        state.best_step, state.best_score, state.validated_step, state.validations_since_best = None, None, 0, 0
    return state


def _fit_and_export(
    prepared: Prepared,
    progress: TrainingProgress,
    recorder: Recorder,
    checkpoints: Checkpoints,
    state: TrainingState,
) -> int:
    if not prepared.run.config.exists():
        # Only now, so that a wrong setting or a server out of reach leaves nothing behind.
        create(
            prepared.run,
            config_yaml=to_yaml(prepared.config),
            corpus=prepared.corpus.as_dict(),
            vocabulary=prepared.base.vocabulary,
        )
    if recorder.run_id is not None:
        # Noted at once, so that a resumed run continues the same record.
        place = {"run_id": recorder.run_id, "tracking_uri": recorder.tracking_uri}
        atomic.write_json(prepared.run.mlflow, place)
    stop = StopRequest()
    outcome = _fit(prepared, progress, recorder, checkpoints, state, stop)
    # The request may have come during the last step, when the loop asks no more.
    if stop():
        progress.stage(f"stopped at step {state.step}; go on with: python -m train resume={prepared.run.path}")
        return stop.exit_code
    progress.stage(f"training ended ({outcome.reason}) at step {state.step}; exporting and scoring")
    _finish(prepared, recorder, checkpoints, state)
    return 0


def _facts(prepared: Prepared) -> RunFacts:
    known = json.loads(prepared.run.mlflow.read_text(encoding="utf-8")) if prepared.run.mlflow.exists() else {}
    tags = {"corpus_fingerprint": prepared.corpus.fingerprint, "config_digest": config_digest(prepared.config)}
    return RunFacts(
        name=prepared.run.path.name,
        params=flatten(prepared.config),
        tags=tags,
        run_id=known.get("run_id"),
        tracking_uri=known.get("tracking_uri", prepared.config.tracking.uri),
    )


def _fit(
    prepared: Prepared,
    progress: TrainingProgress,
    recorder: Recorder,
    checkpoints: Checkpoints,
    state: TrainingState,
    stop: StopRequest,
) -> Outcome:
    rewind_history(prepared.run, state.step)
    for past in read_history(prepared.run):
        # A killed process may not have delivered its last points; the recorder passes over those that it has.
        figures = {name: value for name, value in past.items() if "/" in name}
        recorder.metrics(figures, step=past["step"], tokens=past["tokens"])

    def report(point: Report) -> None:
        times = {"step": point.step, "tokens": point.tokens, "elapsed_seconds": point.elapsed_seconds}
        append_history(prepared.run, {**times, **point.figures})
        recorder.metrics(point.figures, step=point.step, tokens=point.tokens)
        progress.show(point)

    with stop:
        return fit(
            prepared.base.model,
            prepared.task,
            prepared.task.batches(),
            parameter_groups=parameter_groups(prepared.base.model, prepared.config.model.embedding_lr_scale),
            settings=prepared.config.train,
            checkpoints=checkpoints,
            state=state,
            report=report,
            interrupted=stop,
        )


def _finish(prepared: Prepared, recorder: Recorder, checkpoints: Checkpoints, state: TrainingState) -> None:
    run, config = prepared.run, prepared.config
    _choose_weights(prepared.base.model, prepared.task, checkpoints, state, config.train.average_checkpoints)
    provenance = Provenance(
        mlflow_run_id=recorder.run_id,
        git_commit=git_commit(),
        config_digest=config_digest(config),
        corpus_fingerprint=prepared.corpus.fingerprint,
        base_model=prepared.base.base_model,
    )
    # What a killed process left of an earlier export.
    shutil.rmtree(run.unpublished.parent, ignore_errors=True)
    exported = export(
        run.unpublished,
        model=prepared.base.model,
        vocabulary=prepared.base.vocabulary,
        config=config,
        splits=prepared.corpus.splits,
        provenance=provenance,
    )
    draw_curves(read_history(run), run.curves, title=f"{config.name}: {config.data.name}, {config.model.name}")
    write_samples(run, exported.samples)
    write_translations(run, exported.translations)
    for path in (run.config, run.corpus, run.curves):
        recorder.artifact(path)
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


def _choose_weights(model: Any, task: Any, checkpoints: Checkpoints, state: TrainingState, average: int) -> None:
    """Load the best checkpoint, or the average of the last ones where that scores better."""
    # The loop ends with a validation.
    assert state.best_step is not None
    assert state.best_score is not None
    if average > 1:
        set_weights(model, checkpoints.average(checkpoints.steps()[-average:]))
        if task.validate(model)[task.objective] > state.best_score:
            return
    checkpoints.restore_model(state.best_step, model)
