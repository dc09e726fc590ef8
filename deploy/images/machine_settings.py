"""What a build takes from the machine it runs on and must not keep: package indexes, wheel folders, certificates.

A machine may reach its packages only through mirrors, with a certificate authority of its own. All of that is lent to
the build as mounts, so that nothing of it is in the image afterwards.
"""

import ast
import platform
import shutil
import subprocess
import sys
from pathlib import Path

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
PLACES = ("find-links", "extra-index-url")
KEPT = ("index-url", *PLACES, "trusted-host", "default-timeout")
# The release whose Python is 3.11, which the stand-in base image is made of.
RELEASE = "bookworm"
APT_SOURCES = (Path("/etc/apt/sources.list"), Path("/etc/apt/sources.list.d"))


def pip_settings() -> dict[str, str]:
    """What pip is told on this machine by its files and by the environment, which goes before them."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    settings: dict[str, str] = {}
    lines = [line for line in listed.stdout.splitlines() if "=" in line]
    for line in sorted(lines, key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = str(ast.literal_eval(value))
    return settings


def has_cpu_torch(settings: dict[str, str]) -> bool:
    """Whether torch's build for the CPU is in a folder of wheels that pip takes packages from on this machine."""
    folders = map(_path, settings.get("find-links", "").split())
    return any(True for folder in folders for _ in folder.glob("torch-*+cpu-*.whl"))


def mounts(settings: dict[str, str], folder: Path) -> list[str]:
    """``SOURCE:TARGET:MODE`` of all that a build needs of this machine; files are written into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    lent = {str(place): str(place) for place in _local_places(settings)}
    for target, text in {"/etc/pip.conf": _pip_conf(settings), "/etc/uv/uv.toml": _uv_toml(settings)}.items():
        file = folder / Path(target).name
        file.write_text(text, encoding="utf-8")
        lent[target] = str(file)
    if platform.freedesktop_os_release().get("VERSION_CODENAME") == RELEASE:
        lent |= {str(path): str(path) for path in APT_SOURCES if path.exists()}
    read_only = [f"{source}:{target}:ro" for target, source in sorted(lent.items())]
    return [*read_only, *_certificates(settings, folder / "certificates")]


def _certificates(settings: dict[str, str], folder: Path) -> list[str]:
    """The certificate authorities that this machine trusts, where everything looks for them without being told.

    As an overlay, which may be written to and is thrown away: ca-certificates makes its bundle anew when it is updated.
    """
    bundle = Path(settings.get("cert", CERTIFICATES))
    if not bundle.is_file():
        return []
    folder.mkdir(exist_ok=True)
    shutil.copyfile(bundle, folder / Path(CERTIFICATES).name)
    return [f"{folder}:{Path(CERTIFICATES).parent}:O"]


def _local_places(settings: dict[str, str]) -> list[Path]:
    """The folders of this machine among the places."""
    found = set()
    for name in ("index-url", *PLACES):
        for place in settings.get(name, "").split():
            path = _path(place)
            if not path.is_absolute():
                continue
            # An index refers to its files, which lie beside it as a rule.
            found.add(path if name == "find-links" else path.parent)
    return sorted(path for path in found if path.exists())


def _path(place: str) -> Path:
    return Path(place.removeprefix("file://"))


def _pip_conf(settings: dict[str, str]) -> str:
    lines = [f"{name} = {settings[name]}" for name in KEPT if name in settings]
    return "\n".join(["[global]", f"cert = {CERTIFICATES}", *lines, ""])


def _uv_toml(settings: dict[str, str]) -> str:
    """The same for uv, with which BentoML's own Dockerfile installs."""
    # Like pip, uv is to take the best of all places, and not whatever the first one has.
    lines = ['index-strategy = "unsafe-best-match"', "native-tls = true"]
    if url := settings.get("index-url"):
        lines.append(f"index-url = {url!r}")
    for name in PLACES:
        if name in settings:
            lines.append(f"{name} = {settings[name].split()!r}")
    return "\n".join([*lines, ""])
