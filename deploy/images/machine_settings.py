"""Settings that a build takes from its machine and must not keep: package indexes, wheel folders, certificates.

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
    """Read pip's settings from its files and from the environment, which goes before them."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    settings: dict[str, str] = {}
    lines = [line for line in listed.stdout.splitlines() if "=" in line]
    for line in sorted(lines, key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = str(ast.literal_eval(value))
    return settings


def has_cpu_torch(settings: dict[str, str]) -> bool:
    """Tell whether torch's build for the CPU is in a folder of wheels that pip takes packages from on this machine."""
    folders = map(_path, settings.get("find-links", "").split())
    return any(True for folder in folders for _ in folder.glob("torch-*+cpu-*.whl"))


def mounts(settings: dict[str, str], folder: Path) -> list[str]:
    """List ``SOURCE:TARGET:MODE`` of all that a build needs of this machine; files are written into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    lent = {}
    for name in ("index-url", *PLACES):
        for place in map(_path, settings.get(name, "").split()):
            # An index refers to its files, which lie beside it as a rule.
            path = place if name == "find-links" else place.parent
            if place.is_absolute() and path.exists():
                lent[str(path)] = str(path)
    kept = [f"{name} = {settings[name]}" for name in KEPT if name in settings]
    # The same for uv, with which BentoML's own Dockerfile installs. Like pip, it is to take the best of all places, and
    # not whatever the first one has.
    uv = ['index-strategy = "unsafe-best-match"', "native-tls = true"]
    uv += [f"index-url = {settings['index-url']!r}"] if settings.get("index-url") else []
    uv += [f"{name} = {settings[name].split()!r}" for name in PLACES if name in settings]
    pip = ["[global]", f"cert = {CERTIFICATES}", *kept]
    for target, lines in {"/etc/pip.conf": pip, "/etc/uv/uv.toml": uv}.items():
        file = folder / Path(target).name
        file.write_text("\n".join([*lines, ""]), encoding="utf-8")
        lent[target] = str(file)
    if platform.freedesktop_os_release().get("VERSION_CODENAME") == RELEASE:
        lent |= {str(path): str(path) for path in APT_SOURCES if path.exists()}
    words = [f"{source}:{target}:ro" for target, source in sorted(lent.items())]
    bundle = Path(settings.get("cert", CERTIFICATES))
    if bundle.is_file():
        # Where every program looks for authorities; as an overlay, which may be written to and is thrown away, since
        # ca-certificates makes its bundle anew when it is updated.
        certificates = folder / "certificates"
        certificates.mkdir(exist_ok=True)
        shutil.copyfile(bundle, certificates / Path(CERTIFICATES).name)
        words.append(f"{certificates}:{Path(CERTIFICATES).parent}:O")
    return words


def _path(place: str) -> Path:
    return Path(place.removeprefix("file://"))
