"""A run between its preparation and its bundle: start or go on, fit, keep the history, choose the weights."""

from collections.abc import Callable
from typing import Any

from dragoman.errors import DataError
from train.checkpoint import Checkpoints, TrainingState, set_state
from train.config.compose import to_yaml
from train.fitting.prepare import Prepared
from train.loop import Outcome, Report, fit
from train.run.progress import Display
from train.run.provenance import training_digest
from train.run.record import note_place
from train.run.recorder import Recorder
from train.run.run_dir import append_history, create, read_history, rewind_history
from train.signals import StopRequest


class Fitting:
    """One run while its weights are found."""

    def __init__(self, prepared: Prepared, display: Display) -> None:
        """Take up the last checkpoint; raises DataError when it was made with another configuration."""
        self.prepared, self._display = prepared, display
        self.checkpoints = Checkpoints(prepared.run.checkpoints, keep=prepared.config.train.average_checkpoints)
        self.state = self._last_state()

    def fit(
        self, recorder: Recorder, stop: StopRequest, *, watch: Callable[[Report], None] = lambda point: None
    ) -> Outcome:
        """Train to the end or until ``stop``; ``watch`` sees every point, past ones included, and may raise."""
        self._begin(recorder)
        prepared, run = self.prepared, self.prepared.run
        rewind_history(run, self.state.step)
        for past in map(_report, read_history(run)):
            # A killed process may not have delivered its last points; the recorder passes over those that it has.
            recorder.metrics(past.figures, step=past.step, units=past.units)
            watch(past)

        def report(point: Report) -> None:
            times = {"step": point.step, "units": point.units, "elapsed_seconds": point.elapsed_seconds}
            append_history(run, {**times, **point.figures})
            recorder.metrics(point.figures, step=point.step, units=point.units)
            self._display.show(point)
            watch(point)

        with stop:
            return fit(
                prepared.model,
                prepared.learner,
                prepared.learner.batches(),
                parameter_groups=prepared.task.parameter_groups(prepared.model),
                settings=prepared.config.train,
                checkpoints=self.checkpoints,
                state=self.state,
                report=report,
                interrupted=stop,
            )

    def choose_weights(self) -> None:
        """Load the best checkpoint, or the average of the last ones where that scores better."""
        state, model, learner = self.state, self.prepared.model, self.prepared.learner
        average = self.prepared.config.train.average_checkpoints
        # The loop ends with a validation.
        assert state.best_step is not None
        assert state.best_score is not None
        if average > 1:
            set_state(model, self.checkpoints.average(self.checkpoints.steps()[-average:]))
            score = learner.validate(model)[learner.objective]
            if score > state.best_score if learner.higher_is_better else score < state.best_score:
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
                assets=self.prepared.task.assets(),
            )
        # Noted at once, so that a resumed run continues the same record.
        note_place(run, recorder, complete=False)

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
            state.best_step, state.best_score, state.validated_step, state.validations_since_best = None, None, None, 0
        return state


def _report(point: dict[str, Any]) -> Report:
    figures = {name: value for name, value in point.items() if "/" in name}
    return Report(
        step=point["step"],
        units=point["units"],
        elapsed_seconds=point["elapsed_seconds"],
        progress=0.0,
        figures=figures,
        validation=any(name.startswith("validation/") for name in figures),
    )
