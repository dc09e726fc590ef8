"""The programs that build and run images: docker, or buildah with podman, which need no daemon."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.run.commands import StepFailedError
from dragoman.errors import ConfigError

LOG_TAIL_LINES = 25
# Build arguments of our Dockerfiles that Docker gets from the environment: it can be lent nothing by mounts. They are
# handed on by name, since an address may hold a password, and this command is shown.
PLACES_OF_PACKAGES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")
PODMAN_SETTINGS = Path(__file__).with_name("containers.conf")
UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


@dataclass(frozen=True, kw_only=True)
class Build:
    """The ingredients of one image; paths are the caller's."""

    dockerfile: Path
    context: Path
    tag: str
    target: str | None = None
    labels: Mapping[str, str]
    arguments: Mapping[str, str]


class ContainerEngine:
    """docker, or buildah and podman over the same store of images, by their command lines."""

    def __init__(self, program: str) -> None:
        """Take the program that builds: docker or buildah."""
        self.program = program
        # Podman puts images into containers that buildah has built.
        self.runner = "docker" if program == "docker" else "podman"
        # Podman's own defaults would raise limits, which not every machine lets it do.
        needs_settings = self.runner == "podman" and "CONTAINERS_CONF" not in os.environ
        self.run_environment = {"CONTAINERS_CONF": str(PODMAN_SETTINGS)} if needs_settings else {}

    @classmethod
    def find(cls, wanted: str | None = None, *, to_run: bool = False) -> "ContainerEngine":
        """Return the engine asked for, or the first that works here; raises ConfigError when none does.

        With ``to_run`` it can run images too, for which buildah needs podman.
        """
        for engine in map(cls, [wanted] if wanted else ["docker", "buildah"]):
            programs = {engine.program, engine.runner} if to_run else {engine.program}
            # The docker client answers without a daemon too, but for `info`.
            if all(_runs(program, "info") for program in programs):
                return engine
        found = f"{wanted} is not" if wanted else "neither docker nor buildah is"
        raise ConfigError(
            f"{found} usable here (not installed, or its daemon does not answer); apt-get install "
            f"--no-install-recommends {'buildah podman runc' if to_run else 'buildah'}, or install Docker"
        )

    def build(self, build: Build, mounts: Sequence[str], log: Path) -> None:
        """Build and tag an image; raises StepFailedError with the end of the log."""
        run_logged([self.program, *self._build_words(build, mounts)], log)

    def _build_words(self, build: Build, mounts: Sequence[str]) -> list[str]:
        words = ["build", "-f", str(build.dockerfile), "-t", build.tag]
        if self.program == "buildah":
            words[0] = "bud"
            # HEALTHCHECK is part of Docker's format alone.
            words += ["--format", "docker", "--pull=false", "--network", "host", *isolation()]
            words += [word for mount in mounts for word in ("-v", mount)]
        else:
            words += [word for name in PLACES_OF_PACKAGES if name in os.environ for word in ("--build-arg", name)]
        if build.target:
            words += ["--target", build.target]
        for option, values in {"--label": build.labels, "--build-arg": build.arguments}.items():
            words += [word for name, value in values.items() for word in (option, f"{name}={value}")]
        return [*words, str(build.context)]

    def run_words(self, *options: str) -> list[str]:
        """Return the words that run an image, up to its tag; ``run_environment`` belongs to them."""
        if self.runner == "docker":
            return ["docker", "run", "--rm", "--no-healthcheck", *options]
        # Its other runtime, crun, refuses some machines' control groups.
        runtime = ["--runtime", "runc"] if shutil.which("runc") else []
        return ["podman", *runtime, "run", "--rm", "--no-healthcheck", "--ulimit", "host", *options]

    def has(self, tag: str) -> bool:
        """Tell whether an image is here."""
        words = ["image", "inspect"] if self.program == "docker" else ["inspect", "--type", "image"]
        return _runs(self.program, *words, tag)

    def size(self, tag: str) -> int:
        """Return the bytes of an image that is here; buildah alone knows them to three digits."""
        if shutil.which(self.runner):
            return int(self.read("image", "inspect", "--format", "{{.Size}}", tag, program=self.runner))
        number, unit = self.read("images", "--format", "{{.Size}}", tag).split()
        return round(float(number) * UNITS[unit])

    def paths(self, tag: str) -> list[str]:
        """List the paths of all files and folders of an image that is here."""
        words = self.run_words("--network", "none", "--user", "0", "--entrypoint", "find")
        return self.read(*words[1:], tag, "/", "-xdev", program=self.runner).splitlines()

    def read(self, *words: str, program: str | None = None) -> str:
        """Return the output of a command; raises StepFailedError with its complaint."""
        command = [program or self.program, *words]
        env = {**os.environ, **(self.run_environment if command[0] == "podman" else {})}
        finished = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
        if finished.returncode:
            complaint = (finished.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise StepFailedError(f"{shlex.join(command)} failed: {complaint}")
        return finished.stdout.strip()


def run_logged(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
    """Show and run a command with its output in a log; raises StepFailedError with the log's end."""
    print(f"$ {shlex.join(command)}", flush=True)
    env = {**os.environ, **(environment or {})}
    with log.open("wb") as output:
        finished = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False, env=env)
    if finished.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:]
        raise StepFailedError(
            f"that command ended with status {finished.returncode}; the end of {log}:\n" + "\n".join(lines)
        )


def isolation() -> list[str]:
    """Return buildah's option to isolate steps by chroot, which needs no cgroups; none with BUILDAH_ISOLATION set."""
    return [] if "BUILDAH_ISOLATION" in os.environ else ["--isolation", "chroot"]


def _runs(*command: str) -> bool:
    return shutil.which(command[0]) is not None and subprocess.run(command, capture_output=True).returncode == 0
