"""A command that runs another one and stores its output with commit, machine and versions.

python -m benchmarks.record --out benchmarks/results/NAME.json -- python -m train.evaluate --bundle B … --json

It refuses to run where files differ from the commit that is checked out: nobody could repeat that measurement.
"""

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.environment import machine, versions
from dragoman import atomic
from dragoman.checkout import git_commit
from dragoman.errors import ConfigError, run_cli

RESULTS = "benchmarks/results"
# A refusal names this many changed files.
SHOWN = 5


def main() -> int:
    """Run the command, write the record, and end with the command's status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.record", description=__doc__)
    parser.add_argument("--out", required=True, type=Path, help="the JSON file to write")
    parser.add_argument("command", nargs="+", help="the command, after --; python means the one that runs this")
    arguments = parser.parse_args()
    atomic.check_writable(arguments.out)
    # Other records are left out, so that several can be made one after the other.
    command = ["git", "status", "--porcelain", "--", ":/", f":(top,exclude){RESULTS}"]
    status = subprocess.run(command, capture_output=True, text=True, check=False)
    changes = [line[3:] for line in status.stdout.splitlines()]
    if changes:
        shown = ", ".join(changes[:SHOWN]) + (", …" if len(changes) > SHOWN else "")
        raise ConfigError(
            f"the checkout differs from its commit ({shown}), so the record would name a commit that gives other "
            "figures; commit or stash the changes first"
        )
    command = [sys.executable if word == "python" else word for word in arguments.command]
    # Read first, since the command may change the checkout. Only other records can differ from the commit now.
    commit = git_commit(Path.cwd())
    started = time.monotonic()
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    seconds = time.monotonic() - started
    print(finished.stdout, end="")
    record = {
        "command": shlex.join(arguments.command),
        "status": finished.returncode,
        "seconds": round(seconds, 1),
        "output": _parsed(finished.stdout),
        "commit": commit.removesuffix("-dirty") if commit else None,
        "machine": machine(),
        "versions": versions(),
    }
    atomic.write_json(arguments.out, record)
    return finished.returncode


def _parsed(output: str) -> object:
    """Read the output as JSON, as one JSON value a line, or else as lines of text."""
    try:
        return json.loads(output)
    except ValueError:
        lines = output.splitlines()
    try:
        return [json.loads(line) for line in lines]
    except ValueError:
        return lines


if __name__ == "__main__":
    run_cli(main)
