"""The project's own commands as child processes, as a user would type them."""

import contextlib
import itertools
import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dragoman.errors import DragomanError, UnavailableError

ROOT = Path(__file__).resolve().parents[2]
POLL_S = 0.1
# Of a failed command's messages: enough for an exception with the last calls that led to it.
SHOWN_CHARACTERS = 1_000
# For a command to stop its servers in.
STOP_WITHIN_S = 40.0


class StepFailedError(DragomanError):
    """A command that others build on failed or was stopped; ``exit_status`` is its own, where it has one."""

    exit_code = 1

    def __init__(self, message: str, *, module: str = "", exit_status: int | None = None) -> None:
        super().__init__(message)
        self.module = module
        self.exit_status = exit_status

    @property
    def is_outage(self) -> bool:
        """True where a service did not answer, so that the same command may succeed later."""
        return self.exit_status == UnavailableError.exit_code


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A command that ended with an accepted status, and its output."""

    status: int
    output: str

    def value(self, label: str) -> str:
        """Return the text after ``label: ``, of the last line that begins so."""
        found = [line for line in self.output.splitlines() if line.startswith(f"{label}: ")]
        if not found:
            raise StepFailedError(f"that command printed no line '{label}: …'; its output is above")
        return found[-1].removeprefix(f"{label}: ")


def run_command(
    *arguments: str, accepted: Sequence[int] = (0,), environment: Mapping[str, str] | None = None
) -> Finished:
    """Run ``python ARGUMENTS`` and show its output; its progress goes straight to the terminal.

    ``environment`` is added to this process's own. Raises StepFailedError for a status that is not accepted.
    """
    print(f"$ python {shlex.join(arguments)}", flush=True)
    lines = []
    added = {**os.environ, **(environment or {})}
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, env=added) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    status = process.returncode
    if status not in accepted:
        raise StepFailedError(f"that command ended with status {status}; its message is above", exit_status=status)
    return Finished(status=status, output="".join(lines))


def run_quietly(
    module: str, *arguments: str, given: str = "", environment: Mapping[str, str] | None = None
) -> Finished:
    """Run ``python -m MODULE ARGUMENTS`` with ``given`` on its standard input, and show nothing.

    ``environment`` is added to this process's own. Raises StepFailedError with the end of its messages.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        end = done.stderr.strip()[-SHOWN_CHARACTERS:]
        message = f"python -m {module} ended with status {done.returncode}: {end}"
        raise StepFailedError(message, module=module, exit_status=done.returncode)
    return Finished(status=0, output=done.stdout)


def run_in_background(
    module: str,
    *arguments: str,
    log: BinaryIO,
    environment: Mapping[str, str],
    stopping: threading.Event,
    within_s: float,
) -> Finished:
    """Run ``python -m MODULE ARGUMENTS`` with all its output in a log, until it ends or ``stopping`` is set.

    Raises StepFailedError, with the log's last line, for every status but 0, and when it is stopped or takes too long.
    """
    log.write(f"$ python -m {module} {' '.join(arguments)}\n".encode())
    log.flush()
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=log,
            # An interrupt at the terminal is for this process, which then ends the command in order.
            start_new_session=True,
        )
        deadline = time.monotonic() + within_s
        while process.poll() is None and not stopping.wait(POLL_S) and time.monotonic() < deadline:
            pass
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_WITHIN_S)
            process.kill()
            process.wait()
            why = "was stopped" if stopping.is_set() else f"took more than {within_s:g} seconds"
            raise StepFailedError(f"a command {why}", module=module)
        printed.seek(0)
        output = printed.read()
    log.write(output)
    log.flush()
    if status := process.returncode:
        lines = Path(log.name).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        reason = lines[-1].removeprefix("error: ") if lines else "it said nothing"
        name = " ".join([module, *itertools.takewhile(lambda word: not word.startswith("-"), arguments)])
        raise StepFailedError(
            f"python -m {name} ended with status {status}: {reason}", module=module, exit_status=status
        )
    return Finished(status=0, output=output.decode("utf-8", "replace"))
