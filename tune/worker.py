"""One worker of a study: claims trials, carries them out, tells what became of them, and closes the study at last."""

import logging
import time
import traceback
from pathlib import Path
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
from tune.study.experimental import accepted
from tune.study.folder import drop_checkpoints, study_folder, trial_folder
from tune.study.heartbeat import Heartbeat, TrialLostError
from tune.study.plan import Joined, add_slots, reconcile, running_elsewhere
from tune.study.slots import ERROR, HANDED_BACK, best_trials, by_slot, slot_of, states, summary
from tune.study.storage import NothingWaitsError

log = logging.getLogger(__name__)
FAILURES_IN_A_ROW = 3
FIRST_POLL_SECONDS, LAST_POLL_SECONDS = 0.5, 5.0
LONGEST_ERROR = 500
# What is wrong with the machine or a server, and not with the settings of a trial.
NOT_THE_TRIAL = (UnavailableError, OutputError, StorageInternalError, DBAPIError, OSError)
RECORD_STATUS: dict[TrialState, Literal["FINISHED", "FAILED", "KILLED"]] = {
    TrialState.COMPLETE: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAIL: "FAILED",
}


class Worker:
    """Works until nothing is left to do, its hours are over, or it is told to stop."""

    def __init__(self, joined: Joined, corpora: Corpora, display: SearchDisplay) -> None:
        self._joined, self._corpora, self._display = joined, corpora, display
        hours = joined.plan.search.hours
        self._deadline = None if hours is None else time.monotonic() + 3600 * hours
        self._failures = 0

    def run(self) -> int:
        """Returns the exit status; raises InferenceError after three failures in a row."""
        try:
            while (trial := self._claim()) is not None:
                self._work(trial)
        except BaseException as error:
            try:
                self.leave()
            except Exception as second:
                # What ended the worker is what has to be told.
                log.error("the study could not be left in order: %s", second)
            if isinstance(error, StoppedError):
                return error.status
            raise
        self.leave()
        return 0

    def leave(self) -> None:
        """Close the study unless others still work on it; whoever comes last does it, and twice is as once."""
        joined = self._joined
        with joined.locked():
            # Also what was handed back a moment ago: its next attempt is planned, and its record waits with it.
            reconcile(joined)
            standing = summary(joined.study, joined.objectives)
            joined.record.summarize(standing)
            if standing.counts.get("RUNNING", 0):
                return
            folder = study_folder(joined.plan.search.study)
            files = draw(joined.study, folder, joined.objectives)
            if best := best_trials(joined.study):
                files.append(write_best(joined.study, best, folder / "best.yaml"))
            joined.record.finish(waiting=standing.counts.get("WAITING", 0), files=files)

    def _claim(self) -> Trial | None:
        """The next trial, or None when there is none left for this worker."""
        wait = FIRST_POLL_SECONDS
        while True:
            with self._joined.locked():
                reconcile(self._joined)
            if self._deadline is not None and time.monotonic() > self._deadline:
                return None
            try:
                with accepted():
                    return self._joined.study.ask()
            except NothingWaitsError:
                pass
            if self._joined.plan.search.trials is None:
                with self._joined.locked():
                    planned = by_slot(self._joined.study.get_trials(deepcopy=False))
                    add_slots(self._joined, len(planned) + 1)
                continue
            running = running_elsewhere(self._joined)
            if not running:
                return None
            self._display.wait(running)
            time.sleep(wait)
            wait = min(2 * wait, LAST_POLL_SECONDS, float(self._joined.plan.search.heartbeat_seconds))

    def _work(self, trial: Trial) -> None:
        joined = self._joined
        self._display.begin(trial.number, summary(joined.study, joined.objectives))
        every = joined.plan.search.heartbeat_seconds
        with Heartbeat(joined.storage, joined.study, trial, every_seconds=every) as heart:
            run = TrialRun(joined=joined, trial=trial, corpora=self._corpora, display=self._display, heart=heart)
            try:
                self._carry_out(run)
            except (TrialLostError, UpdateFinishedTrialError):
                if run.recorder is not None:
                    run.recorder.abandon()
                self._display.say(
                    f"trial {trial.number} was taken for dead and is somebody else's now; leaving it alone"
                )
            except (StoppedError, KeyboardInterrupt, SystemExit, *NOT_THE_TRIAL):
                self._hand_back(run)
                raise
        if self._failures >= FAILURES_IN_A_ROW:
            raise InferenceError(
                f"{self._failures} trials in a row failed, the last with: {trial.user_attrs.get(ERROR)}; mend the "
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
                # Nobody foresaw it, so its message alone explains nothing.
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
        # The record is complete before the storage says so: a worker killed between the two leaves a trial that is
        # taken up again, not one that is over without its curves.
        if run.recorder is not None:
            run.recorder.finish(RECORD_STATUS[state])
        try:
            joined.study.tell(trial, values, state)
        except ValueError as error:
            raise TrialLostError from error
        self._settle(trial)
        standing = summary(joined.study, joined.objectives)
        joined.record.summarize(standing)
        drop_checkpoints(self._attempts(trial))
        self._display.end(trial.number, what, standing)

    def _hand_back(self, run: TrialRun) -> None:
        """Let somebody else, or this worker another time, go on with the trial."""
        joined, trial = self._joined, run.trial
        try:
            trial.set_user_attr(HANDED_BACK, [*trial.user_attrs.get(HANDED_BACK, []), trial.number])
            joined.study.tell(trial, state=TrialState.FAIL)
            self._display.say(f"trial {trial.number} was handed back and goes on from its last checkpoint")
        except (ValueError, UpdateFinishedTrialError):
            pass
        except (UnavailableError, StorageInternalError, DBAPIError) as error:
            log.error("trial %d could not be handed back, its silence will tell: %s", trial.number, error)
        finally:
            if run.recorder is not None:
                # The record is not closed: to settle it, once the next attempt is planned, is part of leaving.
                run.recorder.abandon()

    def _settle(self, trial: Trial) -> None:
        joined = self._joined
        with joined.locked():
            slot = slot_of(joined.storage.get_trial(trial._trial_id))
            joined.record.settle({slot: states(joined.study.get_trials(deepcopy=False), joined.objectives)[slot]})

    def _attempts(self, trial: Trial) -> list[Path]:
        study = self._joined.plan.search.study
        history = self._joined.storage.get_trial_system_attrs(trial._trial_id).get("retry_history", [])
        return [trial_folder(study, number) for number in (*history, trial.number)]
