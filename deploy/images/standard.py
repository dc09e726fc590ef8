"""The image that ``bentoml containerize`` makes of a Bento by itself, built with buildah."""

import sys
import tempfile
from pathlib import Path

from deploy.images.__main__ import Built, measured
from deploy.images.base import BASE
from deploy.images.engine import Engine, isolation, run_logged
from deploy.images.machine_settings import mounts, pip_settings


def build_standard(engine: Engine, bento: str, store: Path, tag: str, log: Path) -> Built:
    """Containerize a Bento of a store; raises StepFailedError with the end of the log."""
    with tempfile.TemporaryDirectory(prefix="build-") as folder:
        options = ["pull-never", "network=host", *(word.removeprefix("--") for word in _joined(isolation()))]
        options += [f"volume={mount}" for mount in mounts(pip_settings(), Path(folder))]
        command = [sys.executable, "-m", "bentoml", "containerize", bento, "-t", tag, "--backend", "buildah"]
        # Docker's format, since the other one drops what it does not know.
        environment = {"BENTOML_HOME": str(store), "BENTOML_DO_NOT_TRACK": "true", "BUILDAH_FORMAT": "docker"}
        run_logged([*command, *(word for option in options for word in ("--opt", option))], log, environment)
    return measured(engine, tag, BASE)


def _joined(words: list[str]) -> list[str]:
    """``--name value`` as ``--name=value``."""
    return ["=".join(words)] if words else []
