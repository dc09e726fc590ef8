"""A run between its preparation and its bundle: start or go on, fit, keep the history, choose the weights."""

import json
from collections.abc import Callable
from typing import Any

from dragoman import atomic
from dragoman.errors import DataError
from train.checkpoint import Checkpoints, TrainingState, set_weights
from train.config import flatten, to_yaml
from train.loop import Outcome, Report, fit
from train.model import parameter_groups
from train.prepare import Prepared
from train.progress import Display
from train.provenance import config_digest, training_digest
from train.recorder import Recorder, RunFacts
from train.run_dir import append_history, create, read_history, rewind_history
from train.signals import StopRequest


class Fitting:
    """One run while its weights are found."""

    def __init__(self, prepared: Prepared, display: Display) -> None:
        """Take up the last checkpoint; raises DataError when it was made with another configuration."""
        self.prepared, self._display = prepared, display
        self.checkpoints = Checkpoints(prepared.run.checkpoints, keep=prepared.config.train.average_checkpoints)
        self.state = self._last_state()

    def facts(self) -> RunFacts:
        """What a recorder is told when it opens the record of this run."""
        prepared = self.prepared
        known = json.loads(prepared.run.mlflow.read_text(encoding="utf-8")) if prepared.run.mlflow.exists() else {}
        tags = {"corpus_fingerprint": prepared.corpus.fingerprint, "config_digest": config_digest(prepared.config)}
        if prepared.config.study is not None:
            tags["study"] = prepared.config.study.partition("/")[0]
        params = flatten(prepared.config)
        return RunFacts(
            name=prepared.run.path.name,
            # The record knows where it is, and the URI may hold a password.
            params={key: value for key, value in params.items() if not key.startswith("tracking.")},
            tags=tags,
            run_id=known.get("run_id"),
            tracking_uri=known.get("tracking_uri", prepared.config.tracking.uri),
        )

    def fit(
        self, recorder: Recorder, stop: StopRequest, *, watch: Callable[[Report], None] = lambda point: None
    ) -> Outcome:
        """Train to the end or until ``stop``; ``watch`` sees every point, past ones included, and may raise."""
        self._begin(recorder)
        prepared, run = self.prepared, self.prepared.run
        rewind_history(run, self.state.step)
        for past in map(_report, read_history(run)):
            # A killed process may not have delivered its last points; the recorder passes over those that it has.
            recorder.metrics(past.figures, step=past.step, tokens=past.tokens)
            watch(past)

        def report(point: Report) -> None:
            times = {"step": point.step, "tokens": point.tokens, "elapsed_seconds": point.elapsed_seconds}
            append_history(run, {**times, **point.figures})
            recorder.metrics(point.figures, step=point.step, tokens=point.tokens)
            self._display.show(point)
            watch(point)

        with stop:
            return fit(
                prepared.base.model,
                prepared.task,
                prepared.task.batches(),
                parameter_groups=parameter_groups(prepared.base.model, prepared.config.model.embedding_lr_scale),
                settings=prepared.config.train,
                checkpoints=self.checkpoints,
                state=self.state,
                report=report,
                interrupted=stop,
            )

    def choose_weights(self) -> None:
        """Load the best checkpoint, or the average of the last ones where that scores better."""
        state, model, task = self.state, self.prepared.base.model, self.prepared.task
        average = self.prepared.config.train.average_checkpoints
        # The loop ends with a validation.
        assert state.best_step is not None
        assert state.best_score is not None
        if average > 1:
            set_weights(model, self.checkpoints.average(self.checkpoints.steps()[-average:]))
            if task.validate(model)[task.objective] > state.best_score:
                return
        self.checkpoints.restore_model(state.best_step, model)

    def _begin(self, recorder: Recorder) -> None:
        run = self.prepared.run
        if not run.config.exists():
            # Only now, so that a wrong setting or a server out of reach leaves nothing behind.
            create(
                run,
                config_yaml=to_yaml(self.prepared.config),
                corpus=self.prepared.corpus.as_dict(),
                vocabulary=self.prepared.base.vocabulary,
            )
        if recorder.run_id is not None:
            # Noted at once, so that a resumed run continues the same record.
            atomic.write_json(run.mlflow, {"run_id": recorder.run_id, "tracking_uri": recorder.tracking_uri})

    def _last_state(self) -> TrainingState:
        prepared, digest = self.prepared, training_digest(self.prepared.config)
        state = self.checkpoints.last()
        if state is None:
            return TrainingState(config_digest=digest)
        if state.config_digest != digest:
            raise DataError(
                f"{prepared.run.config} has changed since the run was started; restore it, or start a new run with "
                "the other settings"
            )
        if state.best_step is not None and not self.checkpoints.path(state.best_step).exists():
            self._display.stage(
                f"the best checkpoint, of step {state.best_step}, was damaged and is gone; the next validation sets a "
                "new best"
            )
            # Also where training had ended already: without a validation after this there would be no best.
            state.best_step, state.best_score, state.validated_step, state.validations_since_best = None, None, 0, 0
        return state


def _report(point: dict[str, Any]) -> Report:
    figures = {name: value for name, value in point.items() if "/" in name}
    return Report(
        step=point["step"],
        tokens=point["tokens"],
        elapsed_seconds=point["elapsed_seconds"],
        progress=0.0,
        figures=figures,
        validation=any(name.startswith("validation/") for name in figures),
    )
