"""A run between its preparation and its bundle: start or resume, fit, keep the history, choose the weights."""

from collections.abc import Callable, Mapping

from dragoman.errors import DataError
from train.checkpoint import Checkpoints, TrainingState, set_state
from train.config.settings import TrainSettings
from train.fitting.prepare import Prepared
from train.loop import Loop, Outcome
from train.run.history import CurvePoint, append_history, read_history, rewind_history
from train.run.progress import Display
from train.run.record import note_place
from train.run.recorder import Recorder
from train.run.run_dir import RunDir
from train.signals import StopRequest


class Fitting:
    """A run while its weights are found."""

    def __init__(
        self, prepared: Prepared, run: RunDir, settings: TrainSettings, *, digest: str, display: Display
    ) -> None:
        """Go on from the last checkpoint of the run, if it has one.

        ``digest`` is that of the configuration; raises DataError when the checkpoint was made with another.
        """
        self.prepared, self._run, self._settings, self._display = prepared, run, settings, display
        self.checkpoints = Checkpoints(run.checkpoints, keep=settings.average_checkpoints)
        state = self.checkpoints.last() or TrainingState(config_digest=digest)
        if state.config_digest != digest:
            raise DataError(
                f"{run.config} has changed since the run was started; restore it, or start a new run with the other "
                "settings"
            )
        if state.best_step is not None and not self.checkpoints.path(state.best_step).exists():
            display.stage(
                f"the best checkpoint, of step {state.best_step}, was damaged and is gone; the next validation sets a "
                "new best"
            )
            # Also where training had ended already: without a validation after this there would be no best.
            state.best_step, state.best_score, state.validated_step, state.validations_since_best = None, None, None, 0
        self.state = state

    def fit(
        self, recorder: Recorder, stop: StopRequest, *, watch: Callable[[CurvePoint], None] = lambda point: None
    ) -> Outcome:
        """Train to the end or until ``stop``; ``watch`` sees every point, past ones included, and may raise."""
        run, prepared = self._run, self.prepared
        # Noted at once, so that a resumed run continues the same record.
        note_place(run, recorder, complete=False)
        # The checkpoint may be older than the last points: the loop computes those again, to the same bits.
        rewind_history(run, self.state.step)
        for past in read_history(run):
            # A killed process may not have delivered its last points; the recorder passes over those that it has.
            point = CurvePoint.of_history(past)
            recorder.metrics(point.figures, step=point.step, units=point.units)
            watch(point)

        def report(point: CurvePoint) -> None:
            append_history(run, point.as_history())
            recorder.metrics(point.figures, step=point.step, units=point.units)
            self._display.show(point)
            watch(point)

        with stop:
            loop = Loop(
                prepared.model,
                prepared.learner,
                parameter_groups=prepared.task.parameter_groups(prepared.model),
                settings=self._settings,
                checkpoints=self.checkpoints,
                state=self.state,
                report=report,
            )
            return loop.run(stop)

    def finish(self) -> Mapping[str, float]:
        """Choose the weights, and fit what depends on them; returns the task's figures of that."""
        self._choose_weights()
        return self.prepared.task.finish(self.prepared.model, self.prepared.corpus.splits.validation)

    def _choose_weights(self) -> None:
        """Load the best checkpoint, or the average of the last ones where that scores better."""
        state, model, learner = self.state, self.prepared.model, self.prepared.learner
        # Every run ends with a validation, see train.loop.
        assert state.best_step is not None
        assert state.best_score is not None
        if self._settings.average_checkpoints > 1:
            set_state(model, self.checkpoints.average(self.checkpoints.steps()[-self._settings.average_checkpoints :]))
            score = learner.validate(model)[learner.objective]
            if score > state.best_score if learner.higher_is_better else score < state.best_score:
                return
        self.checkpoints.restore_model(state.best_step, model)
