"""One worker of a study: it claims trials, carries them out, records how they ended, and at last closes the study."""

import logging
import time
import traceback
from typing import Literal

from optuna import TrialPruned
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import Trial, TrialState
from sqlalchemy.exc import DBAPIError

from dragoman.errors import DragomanError, InferenceError, OutputError, UnavailableError
from tune.corpora import Corpora
from tune.objective import StoppedError, TrialRun
from tune.results.best import write_best
from tune.results.display import SearchDisplay, describe
from tune.results.pictures import draw
from tune.study.folder import drop_checkpoints, study_folder, trial_folder
from tune.study.heartbeat import Heartbeat, TrialLostError
from tune.study.plan import Joined, listen, plan_trials, reconcile, running_elsewhere
from tune.study.planned_trials import (
    ERROR,
    HANDED_BACK,
    attempts_by_planned,
    best_trials,
    planned_number,
    planned_trials,
    summary,
)
from tune.study.storage import NothingWaitsError

log = logging.getLogger(__name__)
# One bad point of a space is worth a trial; three in a row are a broken search.
FAILURES_IN_A_ROW = 3
# A worker with nothing to claim looks soon, then seldom: a trial takes minutes.
FIRST_POLL_SECONDS, LAST_POLL_SECONDS = 0.5, 5.0
# MLflow's tags and a line of the display have to hold it.
LONGEST_ERROR = 500
# The machine or a server is at fault, and not the settings of a trial.
NOT_THE_TRIAL = (UnavailableError, OutputError, StorageInternalError, DBAPIError, OSError)
RECORD_STATUS: dict[TrialState, Literal["FINISHED", "FAILED", "KILLED"]] = {
    TrialState.COMPLETE: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAIL: "FAILED",
}


# An attempt leaves a worker in one of three ways. It ends: complete, pruned, or failed by its own settings, which is
# never repeated. It is handed back, when this worker is stopped or the machine is at fault: the next attempt continues
# from the checkpoint and uses up no retry. Or it was lost: others declared it dead, and this worker writes nothing
# more. What a killed worker leaves undone in any of them, reconcile does later.
class Worker:
    """A loop that works until nothing is left to do, its hours are over, or it is told to stop."""

    def __init__(self, joined: Joined, corpora: Corpora, display: SearchDisplay) -> None:
        self._joined, self._corpora, self._display = joined, corpora, display
        hours = joined.definition.search.hours
        self._deadline = None if hours is None else time.monotonic() + 3600 * hours
        self._failures = 0

    def run(self) -> int:
        """Work, and return the exit status; raises InferenceError after three failures in a row."""
        try:
            while (trial := self._claim()) is not None:
                self._work(trial)
        except BaseException as error:
            try:
                self.leave()
            except Exception as second:
                # The first error is the one to report.
                log.error("the study could not be left in order: %s", second)
            if isinstance(error, StoppedError):
                return error.status
            raise
        self.leave()
        return 0

    def leave(self) -> None:
        """Close the study unless others still work on it; the last worker does, and a second time changes nothing."""
        joined = self._joined
        with joined.locked():
            # Also for what was handed back a moment ago: the next attempt is planned, and the record settled.
            reconcile(joined)
            standing = summary(joined.study, joined.objectives)
            joined.record.summarize(standing)
            if standing.counts.get("RUNNING", 0):
                return
            folder = study_folder(joined.study.study_name)
            files = draw(joined.study, folder, joined.objectives)
            if best := best_trials(joined.study):
                files.append(write_best(joined.study, best, folder / "best.yaml"))
            joined.record.finish(waiting=standing.counts.get("WAITING", 0), files=files)

    def _claim(self) -> Trial | None:
        joined, search = self._joined, self._joined.definition.search
        wait = FIRST_POLL_SECONDS
        while True:
            with joined.locked():
                reconcile(joined)
            if self._deadline is not None and time.monotonic() > self._deadline:
                return None
            try:
                return joined.study.ask()
            except NothingWaitsError:
                pass
            if search.trials is None:
                with joined.locked():
                    plan_trials(joined, len(attempts_by_planned(joined.study.get_trials(deepcopy=False))) + 1)
                continue
            running = running_elsewhere(joined)
            if not running:
                return None
            # One of them may die and wait for another attempt.
            self._display.wait(len(running))
            time.sleep(wait)
            wait = min(2 * wait, LAST_POLL_SECONDS, float(search.heartbeat_seconds))

    def _work(self, trial: Trial) -> None:
        joined = self._joined
        self._display.begin(trial.number, summary(joined.study, joined.objectives))
        every = joined.definition.search.heartbeat_seconds
        with Heartbeat(trial, every_seconds=every, listen=lambda: listen(joined)) as heart:
            run = TrialRun(joined=joined, trial=trial, corpora=self._corpora, display=self._display, heart=heart)
            try:
                self._carry_out(run)
            except (TrialLostError, UpdateFinishedTrialError):
                if run.recorder is not None:
                    run.recorder.abandon()
                self._display.say(f"trial {trial.number} was declared dead, and others continue it; dropped here")
            except (StoppedError, KeyboardInterrupt, SystemExit, *NOT_THE_TRIAL):
                self._hand_back(run)
                raise
        if self._failures >= FAILURES_IN_A_ROW:
            raise InferenceError(
                f"{self._failures} trials in a row failed, the last with: {trial.user_attrs.get(ERROR)}; correct the "
                "settings or the space, and start the command again"
            )

    def _carry_out(self, run: TrialRun) -> None:
        try:
            values = run.values()
        except TrialPruned as pruned:
            self._failures = 0
            self._end(run, TrialState.PRUNED, str(pruned))
        except (TrialLostError, UpdateFinishedTrialError, StoppedError, *NOT_THE_TRIAL):
            raise
        except Exception as error:
            if not isinstance(error, DragomanError):
                # An error that nobody foresaw: its message alone explains nothing.
                traceback.print_exc()
            message = f"{type(error).__name__}: {' '.join(str(error).split())}"[:LONGEST_ERROR]
            run.trial.set_user_attr(ERROR, message)
            self._failures += 1
            self._end(run, TrialState.FAIL, f"failed ({message})")
        else:
            self._failures = 0
            shown = describe(dict(zip(self._joined.objectives, values, strict=True)))
            self._end(run, TrialState.COMPLETE, shown, values)

    def _end(self, run: TrialRun, state: TrialState, what: str, values: list[float] | None = None) -> None:
        joined, trial = self._joined, run.trial
        run.heart.check()
        # The record is complete before the storage says so: a worker killed between the two leaves a trial that gets
        # another attempt, not one that is over without its curves.
        if run.recorder is not None:
            run.recorder.finish(RECORD_STATUS[state])
        try:
            joined.study.tell(trial, values, state)
        except ValueError as error:
            raise TrialLostError from error
        with joined.locked():
            planned = planned_number(trial)
            found = planned_trials(joined.study.get_trials(deepcopy=False), joined.objectives)
            joined.record.settle({planned: found[planned]})
        standing = summary(joined.study, joined.objectives)
        joined.record.summarize(standing)
        drop_checkpoints([trial_folder(joined.study.study_name, number) for number in (*run.history, trial.number)])
        self._display.end(trial.number, what, standing)

    def _hand_back(self, run: TrialRun) -> None:
        joined, trial = self._joined, run.trial
        try:
            trial.set_user_attr(HANDED_BACK, [*trial.user_attrs.get(HANDED_BACK, []), trial.number])
            joined.study.tell(trial, state=TrialState.FAIL)
            self._display.say(f"trial {trial.number} was handed back, to be continued from its last checkpoint")
        except (ValueError, UpdateFinishedTrialError):
            pass
        except (UnavailableError, StorageInternalError, DBAPIError) as error:
            log.error("trial %d could not be handed back; it will be declared dead instead: %s", trial.number, error)
        finally:
            if run.recorder is not None:
                # Not closed: leave() settles it once the next attempt is planned.
                run.recorder.abandon()
