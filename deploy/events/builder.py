"""From a champion to published artifacts, as a user would do it: fetch, test for conformance, package.

The conformance suite packages the bundle by itself, serves it both ways and compares. Only a bundle that passes is
packaged for everybody, so that neither the output directory nor BentoML's store ever holds an artifact that failed. The
same bundle gives the same archive, byte for byte, so the published one is the tested one.
"""

import dataclasses
import functools
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, TypeVar

from deploy.events.journal import Event, Journal, now
from deploy.run.commands import Finished, StepFailedError, run_in_background
from dragoman.errors import OutputError

STEP_LIMIT_S = 1800.0
# Between the attempts of one event, doubling; also between attempts to write the journal.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 10.0, 600.0
# That a server does not start may be the machine's fault today, or the bundle's every day.
SERVER_TRIES = 3

Kept = TypeVar("Kept")


def pause_after(postponed: int) -> float:
    """Return the seconds until the next attempt of an event that has been put off so many times."""
    return min(FIRST_PAUSE_S * 2.0 ** min(postponed - 1, 10), LONGEST_PAUSE_S)


class Builder:
    """Builds the journal's events, one after the other, in a thread of its own."""

    def __init__(
        self,
        journal: Journal,
        *,
        out: Path,
        work: Path,
        environment: Mapping[str, str],
        report: Callable[[str], None],
    ) -> None:
        """``out`` gets the archives, ``work`` holds temporary files; ``environment`` goes to the commands."""
        self._journal = journal
        self._out = out.resolve()
        self._work = work.resolve()
        self._environment = environment
        self._report = report
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="builder")

    def start(self) -> None:
        """Begin, removing the unfinished work of an earlier process."""
        shutil.rmtree(self._work, ignore_errors=True)
        self._thread.start()

    def stop(self) -> None:
        """End the command that runs, with the servers it started; its event is resumed at the next start."""
        self._stopping.set()
        self._journal.close()
        self._thread.join()

    @property
    def is_running(self) -> bool:
        """True while events will be worked on."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while (event := self._written(self._journal.take)) is not None:
            self._report(f"{event.model}: building the champion ({event.delivery_id})")
            try:
                outcome = dataclasses.replace(self._build(event), state="passed", reason=None, finished_at=now())
            except Exception as error:
                # Whatever it was, the next champion must not find the builder dead.
                outcome = _not_built(event, error)
            if self._stopping.is_set() and outcome.state != "passed":
                return
            self._written(functools.partial(self._keep, outcome))

    def _written(self, write: Callable[[], Kept]) -> Kept | None:
        """Use the journal, again and again while it cannot be written; None when stopped meanwhile."""
        while True:
            try:
                return write()
            except OutputError as error:
                self._report(f"{error}; trying again in {FIRST_PAUSE_S:g} seconds")
            if self._stopping.wait(FIRST_PAUSE_S):
                return None

    def _keep(self, outcome: Event) -> None:
        message = outcome.reason
        if outcome.state == "waiting":
            pause_s = pause_after(outcome.postponed)
            self._journal.postpone(outcome, pause_s)
            message = f"{message}; trying again in {pause_s:g} seconds"
        else:
            self._journal.finish(outcome)
        if outcome.state == "passed":
            message = f"version {outcome.built_version}, bundle {outcome.bundle}, is published"
        self._report(f"{outcome.model}: {outcome.state}: {message}; log: {outcome.log}")

    def _build(self, event: Event) -> Event:
        self._work.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(prefix="build-", dir=self._work) as folder,
            Path(event.log or os.devnull).open("wb") as log,
        ):
            fetched = self._step("model_registry", "fetch", f"{event.model}@champion", "--out", folder, log=log)
            # The event may be old by now: the champion of this moment is built, and recorded as that.
            bundle = Path(fetched.value("bundle"))
            self._step("deploy.conformance", "--bundle", str(bundle), log=log)
            self._step("model_registry", "package", str(bundle), "--out", str(self._out), log=log)
            number = fetched.value("version").rpartition("/")[2]
            return dataclasses.replace(event, built_version=number, bundle=bundle.name.rpartition("-")[2])

    def _step(self, module: str, *arguments: str, log: BinaryIO) -> Finished:
        return run_in_background(
            module,
            *arguments,
            log=log,
            environment=self._environment,
            stopping=self._stopping,
            within_s=STEP_LIMIT_S,
        )


def _not_built(event: Event, error: Exception) -> Event:
    """Let an event wait where the same command may succeed later; otherwise it has failed."""
    reason, postponed = str(error) or type(error).__name__, event.postponed + 1
    module = error.module if isinstance(error, StepFailedError) and error.is_outage else None
    if module == "model_registry" or (module and postponed < SERVER_TRIES):
        return dataclasses.replace(event, state="waiting", reason=reason, postponed=postponed)
    return dataclasses.replace(event, state="failed", reason=reason, finished_at=now())
