"""An image run as a container on this machine, with root and util-linux alone; container.sh says what that proves."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from deploy.images.engine import Engine
from deploy.run.server_process import POLL_S, ServerProcess
from dragoman.errors import ConfigError, UnavailableError

SCRIPT = Path(__file__).with_name("container.sh")
NAMESPACES = ("--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child")
STARTED_WITHIN_S = 10.0


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """What an image says about running it."""

    user: str
    command: tuple[str, ...]
    directory: str
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    health_check: tuple[str, ...]

    @classmethod
    def read(cls, engine: Engine, tag: str) -> Self:
        """Ask buildah; the command is the image's entry point."""
        found: dict[str, Any] = json.loads(engine.read("inspect", "--type", "image", tag))["Docker"]["config"]
        pairs = (entry.partition("=") for entry in found.get("Env") or [])
        return cls(
            user=found.get("User") or "0",
            command=(*(found.get("Entrypoint") or []), *(found.get("Cmd") or [])),
            directory=found.get("WorkingDir") or "/",
            environment={name: value for name, _, value in pairs},
            labels=found.get("Labels") or {},
            # After the word CMD, which says that no shell is meant.
            health_check=tuple((found.get("Healthcheck") or {}).get("Test", []))[1:],
        )


class Container(ServerProcess):
    """A running container; a context manager that stops it. Its root file system is the caller's to mount."""

    def __init__(
        self,
        root: Path,
        config: ImageConfig,
        *,
        name: str,
        log: Path,
        read_only: bool = True,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start the image's command with further arguments and environment; raises ConfigError unless root does it."""
        if os.geteuid() != 0:
            raise ConfigError("only root can run an image without a container engine; run it as root")
        user, group = _numbers(root, config.user)
        if not user:
            raise ConfigError(f"{name} would run as root; an image of ours names another user")
        variables = {**config.environment, **(environment or {})}
        super().__init__(
            [
                *("unshare", *NAMESPACES, "sh", str(SCRIPT)),
                *(str(root), "ro" if read_only else "rw", str(user), str(group), config.directory),
                *(f"{key}={value}" for key, value in variables.items()),
                *(*config.command, *arguments),
            ],
            name=name,
            directory=Path("/"),
            environment={},
            log=log,
        )
        self._first = self._process_1()

    def _process_1(self) -> psutil.Process:
        """The container's process 1, once it is what the image names and no longer the script that prepares it."""
        deadline = time.monotonic() + STARTED_WITHIN_S
        while time.monotonic() < deadline and not self._has_ended():
            for child in psutil.Process(self.pid).children():
                if child.uids().real:
                    return child
            time.sleep(POLL_S / 10)
        self.stop()
        raise UnavailableError(f"{self.name} did not start: {self.log_tail()}")

    def terminate(self) -> None:
        """SIGTERM to process 1 alone, as container engines send it."""
        if self._first.is_running():
            self._first.send_signal(signal.SIGTERM)

    def wait_for_end(self, within_s: float) -> int | None:
        """The exit code of process 1; None if it has not ended within this time."""
        deadline = time.monotonic() + within_s
        while not self._has_ended():
            if time.monotonic() > deadline:
                return None
            time.sleep(POLL_S)
        return self.stop()

    def confinement(self) -> dict[str, bool]:
        """What the kernel says of process 1."""
        place = Path("/proc", str(self._first.pid))
        lines = (place / "status").read_text(encoding="utf-8").splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        mounts = [line.split() for line in (place / "mountinfo").read_text(encoding="utf-8").splitlines()]
        # A later mount of the same place covers an earlier one.
        options = {fields[4]: fields[5].split(",") for fields in mounts}
        return {
            "not root": "0" not in status["Uid"].split(),
            "no capabilities": not any(int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")),
            "no new privileges": status["NoNewPrivs"] == "1",
            "read-only root": "ro" in options["/"],
        }

    def run(self, *command: str) -> int:
        """Run a command beside process 1, in its namespaces, environment and directory, as its user; its exit code."""
        user, group = self._first.uids().real, self._first.gids().real
        words = [
            *("nsenter", f"--target={self._first.pid}", "--mount", "--pid", "--ipc", "--uts", "--root", "--wd"),
            *("setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs"),
            *("env", "-i", *(f"{name}={value}" for name, value in self._first.environ().items())),
        ]
        finished = subprocess.run([*words, *command], check=False, stdin=subprocess.DEVNULL)
        return finished.returncode


def _numbers(root: Path, user: str) -> tuple[int, int]:
    """User and group of an image's USER, by number, or by name as its /etc/passwd has them."""
    name, _, group = user.partition(":")
    if name.isdigit():
        return int(name), int(group or name)
    for line in (root / "etc/passwd").read_text(encoding="utf-8").splitlines():
        fields = line.split(":")
        if fields[0] == name:
            return int(fields[2]), int(fields[3])
    raise ConfigError(f"the image's user {name!r} is not in its /etc/passwd")
