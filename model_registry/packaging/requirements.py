"""The packages that a server of a task installs beside the server itself, with the versions of constraints.txt.

They come from pyproject.toml: the core's own, and those of the extra that bears the task's name.
"""

import re
import tomllib
from pathlib import Path

from dragoman.errors import ConfigError
from dragoman.task_table import extra_of

ROOT = Path(__file__).resolve().parents[2]
# The file in the .mar and beside the bundle in BentoML's model store.
REQUIREMENTS = "requirements.txt"


def task_requirements(task: str, root: Path = ROOT) -> str:
    """Write the lines of a ``requirements.txt``; a task without an extra needs what the core needs.

    Raises ConfigError for a package whose version nothing pins.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"].get(extra_of(task), [])]
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {_plain(line.partition("==")[0]): line for line in lines if "==" in line}
    found = []
    for requirement in wanted:
        name = _plain(re.split(r"[^\w.-]", requirement, maxsplit=1)[0])
        if name not in pins:
            raise ConfigError(f"constraints.txt names no version of {name}, which {task} needs; run `make lock`")
        found.append(f"{pins[name]}\n")
    return "".join(found)


def _plain(name: str) -> str:
    """Return the form of a package's name in which two spellings of it are equal."""
    return re.sub(r"[-_.]+", "-", name).lower()
