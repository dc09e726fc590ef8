"""Runs a command and keeps what it printed with all that a figure needs to be believed.

python -m benchmarks.record --out benchmarks/results/NAME.json -- python -m train.evaluate --bundle B … --json

It refuses to run where a file differs from the commit that is checked out, since nobody could measure that again.
"""

import argparse
import contextlib
import json
import platform
import re
import shlex
import subprocess
import sys
import time
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dragoman import atomic
from dragoman.engines.cpu import usable_cores
from dragoman.errors import ConfigError, run_cli

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
# Of no extra, and yet what a server is as fast as.
HTTP_PACKAGES = ("uvicorn", "uvloop")
RESULTS = "benchmarks/results"
# So many changed files are named in a refusal.
SHOWN = 5
# What matrix kernels are chosen by, in /proc/cpuinfo's names.
VECTORS = {"avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "asimd", "sve"}


def main() -> int:
    """Run the command, write the record, and end with the command's status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.record", description=__doc__)
    parser.add_argument("--out", required=True, type=Path, help="the JSON file to write")
    parser.add_argument("command", nargs="+", help="the command, after --; python means the one that runs this")
    arguments = parser.parse_args()
    atomic.check_writable(arguments.out)
    if changes := uncommitted(Path.cwd()):
        shown = ", ".join([*changes[:SHOWN], *(["…"] if len(changes) > SHOWN else [])])
        raise ConfigError(
            f"the checkout differs from its commit ({shown}), so the record would name a commit that gives other "
            "figures; commit or stash the changes first"
        )
    command = [sys.executable if word == "python" else word for word in arguments.command]
    before = commit()
    started = time.monotonic()
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    seconds = time.monotonic() - started
    print(finished.stdout, end="")
    record = {
        "command": shlex.join(arguments.command),
        "status": finished.returncode,
        "seconds": round(seconds, 1),
        "output": _parsed(finished.stdout),
        "commit": before,
        "machine": machine(),
        "versions": versions(),
    }
    atomic.write_json(arguments.out, record)
    return finished.returncode


def versions() -> dict[str, str]:
    """Return the versions of Python and of the project's requirements, as far as they are installed."""
    found = {"python": platform.python_version()}
    for package in sorted({*_requirements(), *HTTP_PACKAGES}):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _requirements() -> set[str]:
    """Read the names that pyproject.toml asks for, but for the tools of development."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    asked = [*project["dependencies"], *(line for extra, lines in extras.items() if extra != "dev" for line in lines)]
    return {re.split(r"[\[<>=~ ]", line)[0] for line in asked} - {project["name"]}


def machine() -> dict[str, object]:
    """The processor with what its vector units can, the cores this process may use, and the system."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return {
        "cpu": fields.get("model name", platform.processor()),
        "vectors": sorted(VECTORS.intersection(fields.get("flags", "").split())),
        "cores": usable_cores(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def commit() -> str | None:
    """The commit that is checked out, with ``-dirty`` when files differ from it; None outside of git."""
    try:
        found = subprocess.run(["git", "describe", "--always"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip() + ("-dirty" if uncommitted(Path.cwd()) else "")


def uncommitted(folder: Path) -> list[str]:
    """List the files of a checkout that differ from its commit, untracked ones too; none outside of git.

    The folder of the records is left out, so that several can be made one after the other.
    """
    command = ["git", "status", "--porcelain", "--", ".", f":(exclude){RESULTS}"]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return [line[3:] for line in found.stdout.splitlines()]


def _parsed(output: str) -> object:
    """JSON, or a JSON value a line, as such; anything else as lines."""
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
