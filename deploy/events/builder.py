"""From a champion to published artifacts, as a user would do it: fetch, test for conformance, package.

The conformance suite packages the bundle by itself, serves it both ways and compares. Only what passes is packaged for
everybody, so that neither the output directory nor BentoML's store ever holds an artifact that failed. The same bundle
gives the same archive, byte for byte, so what is published is what was tested.
"""

import contextlib
import dataclasses
import functools
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar

from deploy.events.journal import Event, Journal, now
from dragoman.errors import DragomanError, OutputError, UnavailableError

ROOT = Path(__file__).resolve().parent.parent.parent
SECRET_VARIABLE = "DRAGOMAN_WEBHOOK_SECRET"  # noqa: S105 - the variable's name
STEP_LIMIT_S = 1800.0
STOP_WITHIN_S = 40.0
# Between the attempts of one event, doubling; also between attempts to write the journal.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 10.0, 600.0
# That a server does not start may be the machine's fault today, or the bundle's every day.
SERVER_TRIES = 3

Report = Callable[[str], None]
Kept = TypeVar("Kept")


class StepFailedError(DragomanError):
    """One of the commands failed, or was stopped; ``exit_status`` is what it ended with."""

    def __init__(self, message: str, *, module: str = "", exit_status: int | None = None) -> None:
        super().__init__(message)
        self.module = module
        self.exit_status = exit_status

    def may_pass(self, tried: int) -> bool:
        """Whether the same command may succeed later, after so many attempts that an outage put off."""
        if self.exit_status != UnavailableError.exit_code:
            return False
        return self.module == "model_registry" or tried < SERVER_TRIES


def pause_after(postponed: int) -> float:
    """Seconds until the next attempt of an event that has been put off so many times."""
    return min(FIRST_PAUSE_S * 2.0 ** min(postponed - 1, 10), LONGEST_PAUSE_S)


class Builder:
    """Builds what the journal gives it, one event after the other, in a thread of its own."""

    def __init__(self, journal: Journal, *, out: Path, work: Path, environment: Mapping[str, str], report: Report):
        """``out`` gets the archives, ``work`` what is only needed meanwhile; ``environment`` goes to the commands."""
        self._journal = journal
        self._out = out.resolve()
        self._work = work.resolve()
        self._environment = {**os.environ, **environment}
        # Neither the commands nor the servers they start have any use for it.
        self._environment.pop(SECRET_VARIABLE, None)
        self._report = report
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="builder")

    def start(self) -> None:
        """Begin, removing what an earlier process left half done."""
        shutil.rmtree(self._work, ignore_errors=True)
        self._thread.start()

    def stop(self) -> None:
        """End the command that runs, with the servers it started; its event is taken up again at the next start."""
        self._stopping.set()
        self._journal.close()
        self._thread.join()

    @property
    def is_running(self) -> bool:
        """Whether events will be worked on."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while (event := self._written(self._journal.take)) is not None:
            self._report(f"{event.model}: building the champion ({event.delivery_id})")
            outcome = self._outcome(event)
            if self._stopping.is_set() and outcome.state != "passed":
                return
            self._written(functools.partial(self._keep, outcome))

    def _written(self, write: Callable[[], Kept]) -> Kept | None:
        """What a use of the journal gives, repeated while it cannot be written; None when told to end meanwhile."""
        while True:
            try:
                return write()
            except OutputError as error:
                self._report(f"{error}; trying again in {FIRST_PAUSE_S:g} seconds")
            if self._stopping.wait(FIRST_PAUSE_S):
                return None

    def _keep(self, outcome: Event) -> None:
        what = outcome.reason
        if outcome.state == "waiting":
            pause_s = pause_after(outcome.postponed)
            self._journal.postpone(outcome, pause_s)
            what = f"{what}; trying again in {pause_s:g} seconds"
        else:
            self._journal.finish(outcome)
        if outcome.state == "passed":
            what = f"version {outcome.built_version}, bundle {outcome.bundle}, is published"
        self._report(f"{outcome.model}: {outcome.state}: {what}; log: {outcome.log}")

    def _outcome(self, event: Event) -> Event:
        try:
            return dataclasses.replace(self._build(event), state="passed", reason=None, finished_at=now())
        except Exception as error:
            # Whatever it was, the next champion must not find the builder dead.
            reason, postponed = str(error) or type(error).__name__, event.postponed + 1
            if isinstance(error, StepFailedError) and error.may_pass(tried=postponed):
                return dataclasses.replace(event, state="waiting", reason=reason, postponed=postponed)
            return dataclasses.replace(event, state="failed", reason=reason, finished_at=now())

    def _build(self, event: Event) -> Event:
        self._work.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(prefix="build-", dir=self._work) as folder,
            Path(event.log or os.devnull).open("wb") as log,
        ):
            fetched = self._step("model_registry", "fetch", f"{event.model}@champion", "--out", folder, log=log)
            # The event may be old by now: what is built is the champion of this moment, and written down as that.
            *_, version, path = fetched.strip().splitlines()
            bundle = Path(path.removeprefix("bundle: "))
            self._step("deploy.conformance", "--bundle", str(bundle), log=log)
            self._step("model_registry", "package", str(bundle), "--out", str(self._out), log=log)
            number = version.rpartition("/")[2]
            return dataclasses.replace(event, built_version=number, bundle=bundle.name.rpartition("-")[2])

    def _step(self, module: str, *arguments: str, log: BinaryIO) -> str:
        """Run one of the project's commands, its output going to the log, and return what it printed."""
        command: Sequence[str] = [sys.executable, "-m", module, *arguments]
        log.write(f"$ python -m {module} {' '.join(arguments)}\n".encode())
        log.flush()
        with tempfile.TemporaryFile() as printed:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=log,
                # An interrupt at the terminal is for the receiver, which then ends the command in order.
                start_new_session=True,
            )
            status = self._wait(process)
            printed.seek(0)
            output = printed.read()
        log.write(output)
        log.flush()
        if status:
            what = " ".join([module, *itertools.takewhile(lambda word: not word.startswith("-"), arguments)])
            message = f"python -m {what} ended with status {status}: {_last_line(log)}"
            raise StepFailedError(message, module=module, exit_status=status)
        return output.decode("utf-8", "replace")

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        deadline = time.monotonic() + STEP_LIMIT_S
        while not self._stopping.is_set() and time.monotonic() < deadline:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(timeout=0.2)
        # The project's commands stop their servers when they are asked to end.
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        why = "was stopped" if self._stopping.is_set() else f"took more than {STEP_LIMIT_S:g} seconds"
        raise StepFailedError(f"a command {why}")


def _last_line(log: BinaryIO) -> str:
    lines = Path(log.name).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else "it said nothing"
