"""Runs the project's own commands one after the other, as a user would type them."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dragoman.errors import DragomanError


class StepFailedError(DragomanError):
    """A command that others build on has failed."""

    exit_code = 1


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A command that has ended with an accepted status, and what it printed."""

    status: int
    output: str

    def value(self, label: str) -> str:
        """What it printed as ``label: …``, the last time that it did."""
        found = [line for line in self.output.splitlines() if line.startswith(f"{label}: ")]
        if not found:
            raise StepFailedError(f"that command printed no line '{label}: …'; its output is above")
        return found[-1].removeprefix(f"{label}: ")


def run_command(
    *arguments: str, accepted: Sequence[int] = (0,), environment: Mapping[str, str] | None = None
) -> Finished:
    """Run ``python ARGUMENTS`` and show what it prints; its progress goes straight to the terminal.

    ``environment`` is added to this process's own. Raises StepFailedError when it ends with a status that is not
    accepted.
    """
    print(f"$ python {shlex.join(arguments)}", flush=True)
    lines = []
    added = {**os.environ, **(environment or {})}
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, env=added) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode not in accepted:
        raise StepFailedError(f"that command ended with status {process.returncode}; its message is above")
    return Finished(status=process.returncode, output="".join(lines))
