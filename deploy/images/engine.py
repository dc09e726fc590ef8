"""The program that builds images: docker, or buildah, which needs no daemon."""

import contextlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.run.commands import StepFailedError
from dragoman.errors import ConfigError

LOG_TAIL_LINES = 25
# Build arguments of our Dockerfiles that Docker gets from the environment: it can be lent nothing by mounts. They are
# handed on by name, since an address may hold a password, and this command is shown.
PLACES_OF_PACKAGES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")


@dataclass(frozen=True, kw_only=True)
class Build:
    """What one image is built from; paths are the caller's."""

    dockerfile: Path
    context: Path
    tag: str
    target: str | None = None
    labels: Mapping[str, str]
    arguments: Mapping[str, str]


class Engine:
    """docker or buildah, by its command line."""

    def __init__(self, program: str) -> None:
        self.program = program

    @classmethod
    def find(cls, wanted: str | None = None) -> "Engine":
        """The one asked for, or whichever works here; raises ConfigError when none does."""
        for program in [wanted] if wanted else ["docker", "buildah"]:
            if shutil.which(program) and _works(program):
                return cls(program)
        raise ConfigError(
            f"{f'{wanted} is not' if wanted else 'neither docker nor buildah is'} usable here (not installed, or its "
            "daemon does not answer); "
            "apt-get install --no-install-recommends buildah, or install Docker"
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

    def has(self, tag: str) -> bool:
        """Whether an image is here."""
        words = ["image", "inspect", tag] if self.program == "docker" else ["inspect", "--type", "image", tag]
        return subprocess.run([self.program, *words], capture_output=True, check=False).returncode == 0

    def size(self, tag: str) -> int:
        """The bytes of all files of an image that is here."""
        if self.program == "docker":
            return int(self.read("image", "inspect", "--format", "{{.Size}}", tag))
        with self.mounted(tag) as root:
            return _bytes_below(root)

    @contextlib.contextmanager
    def mounted(self, tag: str) -> Iterator[Path]:
        """A container's own copy of an image's root file system, for as long as the context lasts; buildah alone."""
        container = self.read("from", "--pull-never", tag)
        try:
            yield Path(self.read("mount", container))
        finally:
            # Takes the mount with it.
            self.read("rm", container)

    def read(self, *words: str) -> str:
        """What a command prints; raises StepFailedError with what it complains of."""
        finished = subprocess.run([self.program, *words], capture_output=True, text=True, check=False)
        if finished.returncode:
            complaint = (finished.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise StepFailedError(f"{self.program} {shlex.join(words)} failed: {complaint}")
        return finished.stdout.strip()


def run_logged(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
    """Show and run a command with its output in a log; raises StepFailedError with the log's end."""
    print(f"$ {shlex.join(command)}", flush=True)
    with log.open("wb") as output:
        finished = subprocess.run(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
            env={**os.environ, **(environment or {})},
        )
    if finished.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:]
        raise StepFailedError(
            f"that command ended with status {finished.returncode}; the end of {log}:\n" + "\n".join(lines)
        )


def isolation() -> list[str]:
    """How buildah isolates the steps of a build: by chroot, which needs no cgroups, unless BUILDAH_ISOLATION is set."""
    return [] if "BUILDAH_ISOLATION" in os.environ else ["--isolation", "chroot"]


def _works(program: str) -> bool:
    # The docker client answers without a daemon too, but for this.
    words = ["docker", "info"] if program == "docker" else [program, "info"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def _bytes_below(root: Path) -> int:
    seen: dict[tuple[int, int], int] = {}
    for folder, _, names in os.walk(root):
        for name in names:
            entry = os.lstat(os.path.join(folder, name))  # noqa: PTH118 - ten times as fast for a hundred thousand files
            seen[entry.st_dev, entry.st_ino] = entry.st_size
    return sum(seen.values())
