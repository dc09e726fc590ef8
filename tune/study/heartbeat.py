"""Signs of life of a worker, and how it learns that it was taken for dead."""

import logging
import threading
import time
from types import TracebackType
from typing import Self

from optuna.study import Study
from optuna.trial import Trial, TrialState

from tune.study.storage import PatientStorage

log = logging.getLogger(__name__)


class TrialLostError(Exception):
    """Others have declared this trial dead, and go on with it: it is to be left alone."""


class Heartbeat:
    """While entered, a thread tells the storage that the trial is being worked on."""

    def __init__(self, storage: PatientStorage, study: Study, trial: Trial, *, every_seconds: float) -> None:
        self._storage, self._study, self._trial_id = storage, study, trial._trial_id
        self._every = every_seconds
        self._stop, self._lost = threading.Event(), threading.Event()
        self._last = time.monotonic()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        # The first one at once: a trial that never had any is found later than others.
        self._storage.record_heartbeat(self._trial_id)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(self._every)

    def check(self) -> None:
        """Raise TrialLostError once the trial is somebody else's; cheap unless this process was suspended."""
        if time.monotonic() - self._last > 2 * self._every and not self._runs():
            self._lost.set()
        if self._lost.is_set():
            raise TrialLostError

    def _beat(self) -> None:
        while not self._stop.wait(self._every):
            try:
                self._storage.record_heartbeat(self._trial_id)
                if not self._runs():
                    self._lost.set()
                    return
            except Exception as error:
                # The storage was patient already; if it stays away, the next report of the trial ends the worker.
                log.warning("no sign of life could be given (%s)", error)
                continue
            finally:
                self._storage.remove_session()
            self._last = time.monotonic()

    def _runs(self) -> bool:
        return self._study._storage.get_trial(self._trial_id).state == TrialState.RUNNING
