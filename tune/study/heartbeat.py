"""Heartbeats of a trial, by which its worker learns that it was declared dead."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Self

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial

log = logging.getLogger(__name__)
BEAT = "heartbeat"
"""The user attribute that counts the heartbeats of a trial."""


class TrialLostError(Exception):
    """The trial was declared dead and another attempt goes on with it: this one must leave it alone."""


# A worker counts up an attribute of its trial. The others compare: a count that stands still for three beats by their
# own clock is a dead worker (plan.reconcile), so that no two clocks have to agree. They end the trial as FAIL, and
# since Optuna lets nobody write to an ended trial, the next beat of a worker that was only suspended fails: it has
# lost the trial, and finds out before it writes a checkpoint or a record.
class Heartbeat:
    """A thread that counts up while entered, and calls ``listen`` after each beat."""

    def __init__(self, trial: Trial, *, every_seconds: float, listen: Callable[[], object] = lambda: None) -> None:
        self._trial, self._every, self._listen = trial, every_seconds, listen
        self._count, self._last = 0, time.monotonic()
        self._stop, self._lost = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        # At once, and before the thread: from here on the trial has the attribute, and no copy of it is disturbed.
        self._beat()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(self._every)

    def check(self) -> None:
        """Raise TrialLostError once the trial was declared dead; free of charge unless this process was suspended."""
        if time.monotonic() - self._last > 2 * self._every:
            self._beat()
        if self._lost.is_set():
            raise TrialLostError

    def _run(self) -> None:
        while not self._lost.is_set() and not self._stop.wait(self._every):
            try:
                self._beat()
                self._listen()
            except Exception as error:
                # The storage was patient already; if it stays away, the next report of the trial ends the worker.
                log.warning("no heartbeat could be sent (%s)", error)
            finally:
                # Sessions belong to threads.
                self._trial.storage.remove_session()

    def _beat(self) -> None:
        self._count += 1
        try:
            self._trial.set_user_attr(BEAT, self._count)
        except UpdateFinishedTrialError:
            self._lost.set()
        else:
            self._last = time.monotonic()
