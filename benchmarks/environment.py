"""The circumstances that a figure depends on: the machine and the installed versions."""

import contextlib
import platform
import re
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dragoman.engines.cpu import usable_cores

ROOT = Path(__file__).resolve().parent.parent
# No requirement of ours, but a server is only as fast as they are.
HTTP_PACKAGES = ("uvicorn", "uvloop")
# The instruction sets by which libraries choose their matrix kernels, as /proc/cpuinfo names them.
VECTORS = {"avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "asimd", "sve"}


def machine() -> dict[str, object]:
    """Return the processor with its vector units, the number of cores this process may use, and the system."""
    cpu_info = Path("/proc/cpuinfo")
    fields = {}
    if cpu_info.exists():
        for line in cpu_info.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            fields[name.strip()] = value.strip()
    return {
        "cpu": fields.get("model name", platform.processor()),
        "vectors": sorted(VECTORS.intersection(fields.get("flags", "").split())),
        "cores": usable_cores(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of every installed requirement, except development tools."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = list(project["dependencies"])
    for extra, lines in project["optional-dependencies"].items():
        if extra != "dev":
            requirements += lines
    names = {re.split(r"[\[<>=~ ]", line)[0] for line in requirements} - {project["name"]}
    found = {"python": platform.python_version()}
    for package in sorted({*names, *HTTP_PACKAGES}):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
