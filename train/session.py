"""One run from its configuration to its bundle: read, clean, prepare, fit, export."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dragoman import atomic
from dragoman.manifest import Languages, Provenance
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
    recorder = open_recorder(_facts(prepared))
    try:
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
        checkpoints = Checkpoints(prepared.run.checkpoints, keep=prepared.config.train.average_checkpoints)
        outcome = _fit(prepared, progress, recorder, checkpoints, stop)
        if outcome.reason == "interrupted":
            progress.stage(
                f"stopped at step {outcome.state.step}; go on with: python -m train resume={prepared.run.path}"
            )
            recorder.finish("KILLED")
            return stop.exit_code
        progress.stage(f"training ended ({outcome.reason}) at step {outcome.state.step}; exporting and scoring")
        _finish(prepared, recorder, checkpoints, outcome.state)
        recorder.finish("FINISHED")
    except BaseException:
        recorder.finish("FAILED")
        raise
    print(f"bundle: {prepared.run.bundle}")
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
    prepared: Prepared, progress: TrainingProgress, recorder: Recorder, checkpoints: Checkpoints, stop: StopRequest
) -> Outcome:
    state = checkpoints.last()
    if state is None:
        state = TrainingState(
            corpus_fingerprint=prepared.corpus.fingerprint, config_digest=config_digest(prepared.config)
        )
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
    exported = export(
        run.bundle,
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
    recorder.table("samples.json", exported.samples)
    # The digest in a test set's label would make a new curve of every corpus.
    scored = [(score.test_set.partition("@")[0], score) for score in exported.bundle.manifest.scores]
    figures = {f"{test_set}/{score.metric}".lower(): score.value for test_set, score in scored}
    recorder.metrics(figures, step=state.step, tokens=state.tokens)
    recorder.log_bundle(run.bundle)


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
