"""The base image: pulled, or made from Debian's packages where no registry can be reached.

Debian 12's own Python is 3.11, so its smallest system with Python stands in for ``python:3.11-slim``.
"""

import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from deploy.images.engine import ContainerEngine
from deploy.images.machine_settings import APT_SOURCES, RELEASE
from dragoman.errors import ConfigError, UnavailableError

BASE = "docker.io/library/python:3.11-slim"
DEBIAN = "http://deb.debian.org/debian"
PACKAGES = ("python3", "python3-venv", "python3-pip", "ca-certificates", "netbase", "tzdata")
PULL_WITHIN_S = 300
# The official image has its Python there under these names.
NAMES = ("python", "python3", "python3.11")


def ensure_base(engine: ContainerEngine, tag: str = BASE) -> None:
    """Have the base image here; raises ConfigError or UnavailableError when it can neither be pulled nor made."""
    if engine.has(tag):
        return
    print(f"{tag} is not here: pulling it", flush=True)
    try:
        subprocess.run([engine.program, "pull", "-q", tag], capture_output=True, check=True, timeout=PULL_WITHIN_S)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        complaint = (error.stderr or b"").decode("utf-8", errors="replace").strip().splitlines()
        reason = complaint[-1].strip() if complaint else str(error)
        if engine.program == "docker":
            raise UnavailableError(
                f"{tag} cannot be pulled ({reason}); is its registry within reach? With --engine buildah a stand-in is "
                "made"
            ) from error
        print(f"it cannot be pulled ({reason}): making a stand-in from Debian's packages", flush=True)
        make_stand_in(engine, tag)


def make_stand_in(engine: ContainerEngine, tag: str) -> None:
    """Make a base image with debootstrap and give it this tag, in about two minutes.

    Raises ConfigError when debootstrap is missing or the user is not root, and UnavailableError when it fails.
    """
    if shutil.which("debootstrap") is None:
        raise ConfigError(
            f"{tag} cannot be pulled, and debootstrap, which could make a stand-in, is not installed; "
            "apt-get install --no-install-recommends debootstrap debian-archive-keyring"
        )
    if os.geteuid() != 0:
        raise ConfigError(f"{tag} cannot be pulled, and only root can make a stand-in with debootstrap; run it as root")
    with tempfile.TemporaryDirectory(prefix="base-image-") as folder:
        root, log = Path(folder, "root"), Path(folder, "debootstrap.log")
        _debootstrap(root, log)
        _make_like_the_official_one(root)
        container = engine.read("from", "scratch")
        try:
            # A copy into the mount, since adding a folder would leave its owners and modes to buildah.
            mount = engine.read("mount", container)
            subprocess.run(["cp", "-a", f"{root}/.", mount], check=True)
            engine.read(
                "config",
                *("--cmd", "python3", "--env", "LANG=C.UTF-8"),
                *("--label", "org.opencontainers.image.title=stand-in for python:3.11-slim"),
                container,
            )
            engine.read("commit", "-q", "--format", "docker", container, tag)
        finally:
            engine.read("rm", container)


def _debootstrap(root: Path, log: Path) -> None:
    include = ",".join(PACKAGES)
    # Without Debian's keys it would only warn, and the packages come over plain HTTP.
    options = ["--force-check-gpg", "--variant=minbase", f"--include={include}"]
    command = ["debootstrap", *options, RELEASE, str(root), _debian_source()]
    with log.open("wb") as output:
        finished = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False)
    if finished.returncode:
        end = " / ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:])
        raise UnavailableError(
            f"debootstrap failed; is Debian's source {_debian_source()} within reach, and debian-archive-keyring "
            f"installed? {end}"
        )


def _debian_source() -> str:
    """Return this machine's source of Debian's packages, if it is Debian itself; Debian's own address otherwise."""
    if platform.freedesktop_os_release().get("ID") != "debian":
        return DEBIAN
    files = [APT_SOURCES[0], *sorted(APT_SOURCES[1].glob("*.sources")), *sorted(APT_SOURCES[1].glob("*.list"))]
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
            words = line.split()
            # 'URIs: http://…' or 'deb [options] http://… bookworm main'
            if words and words[0] in ("URIs:", "deb") and (urls := [word for word in words[1:] if "://" in word]):
                return urls[0]
    return DEBIAN


def _make_like_the_official_one(root: Path) -> None:
    for name in NAMES:
        (root / "usr/local/bin" / name).symlink_to("/usr/bin/python3.11")
    # Debian's pip refuses to install into the system's Python, the official image's does not.
    for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()
    (root / "etc/apt/sources.list").write_text(f"deb {DEBIAN} {RELEASE} main\n", encoding="ascii")
    for leftover in ("var/cache/apt", "var/lib/apt/lists", "var/log"):
        shutil.rmtree(root / leftover)
    for folder in ("var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/log"):
        (root / folder).mkdir(parents=True)
